use super::*;
use store_core::ErrorKind;

fn parse(url: &str) -> Result<Target> {
    Target::parse(url, &OpenOptions::default())
}

fn message(url: &str) -> String {
    parse(url).unwrap_err().to_string()
}

#[test]
fn our_settings_are_split_off_and_the_rest_is_untouched() {
    let url = "mongodb://a:1,b:2/db?replicaSet=r&store.namespace=n1&w=majority&store.create=false#x";
    let target = parse(url).unwrap();
    assert_eq!(target.scheme(), "mongodb");
    assert_eq!(target.url(), "mongodb://a:1,b:2/db?replicaSet=r&w=majority#x");
    assert_eq!(target.rest(), "//a:1,b:2/db?replicaSet=r&w=majority#x");
    assert_eq!((target.namespace(), target.create()), (Some("n1"), Some(false)));
}

#[test]
fn a_query_of_our_settings_alone_leaves_no_question_mark() {
    assert_eq!(parse("memory:?store.namespace=a").unwrap().url(), "memory:");
    assert_eq!(parse("embedded:///x?store.create=true#f").unwrap().url(), "embedded:///x#f");
}

#[test]
fn odd_queries_stay_as_they_are() {
    for url in ["x1:?", "x1:?a&&b", "x1:?a=b=c&d", "x1:?%73tore.namespace=a", "x1:?store.layout=llamaindex"] {
        assert_eq!(parse(url).unwrap().url(), url);
    }
}

#[test]
fn schemes_ignore_case_and_surrounding_space() {
    assert_eq!(parse(" Embedded:///x\n").unwrap().scheme(), "embedded");
    assert_eq!(parse("mongodb+srv://h").unwrap().scheme(), "mongodb+srv");
}

#[test]
fn a_path_is_answered_with_the_url_to_write() {
    assert!(message("/data/x").contains(r#""/data/x" is a path, not a store URL; write embedded:///data/x"#));
    assert!(message("./a:b").contains("write embedded:///"));
    assert!(message(r"C:\data").contains("is a path"));
    assert!(message("  ").contains("is empty"));
}

#[test]
fn options_and_url_must_agree() {
    let options = OpenOptions::default().with_namespace("a").with_create(true);
    let target = Target::parse("memory:?store.namespace=a", &options).unwrap();
    assert_eq!((target.namespace(), target.create()), (Some("a"), Some(true)));
    let error = Target::parse("memory:?store.namespace=b", &options).unwrap_err();
    assert!(error.to_string().contains("store.namespace is given twice"), "{error}");
    assert!(message("memory:?store.create=true&store.create=false").contains("given twice"));
}

#[test]
fn bad_settings_are_refused() {
    assert!(
        message("memory:?store.create=yes").contains(r#"store.create is "yes"; it must be true or false"#)
    );
    assert!(message("memory:?store.namespace=%").contains("store.namespace: "));
    assert!(message("memory:?store.namespace=a%2Fb").contains("\"a/b\""));
}

#[test]
fn our_settings_are_decoded() {
    assert_eq!(parse("memory:?store.namespace=%61&store.create=%74rue").unwrap().namespace(), Some("a"));
}

#[test]
fn namespaces_are_short_lower_case_names() {
    for good in ["a", "a1", &"a".repeat(32)] {
        check::plain_name("namespace", good).unwrap();
    }
    for bad in ["", "1a", "A", "a_b", "a-b", "ä", "a/b", &"a".repeat(33)] {
        assert_eq!(
            check::plain_name("namespace", bad).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{bad:?}"
        );
    }
}

#[test]
fn no_form_of_a_url_shows_its_secret() {
    let urls = [
        "redis://:s3cret@h",
        "redis://u:s3cret@h:1/0?x=1",
        "redis://s3cret@h",
        "redis://u:s3cret@with@h",
        "redis://u:a/s3cret@h",
        "redis://u:a?s3cret@h",
        "redis://u:a#s3cret@h",
        "redis://u:a?b=s3cret@h/1?c=d",
        "redis://u:a@s3cret?b@h",
        "redis://u:?store.create=s3cret#@h",
        "u:s3cret@h",
        "//u:s3cret@h/x",
        "u:s3cret@h//x",
        "u:s3cret//x@h",
        "memory://u:s3cret@h?token=s3cret",
        "mongodb://u:s3cret@a:1,b:2/db",
        "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret",
        "dynamodb://eu/t?secret_access_key=s3cret&x=1",
        "dynamodb://eu/t?x=1&Secret-Access.Key=s3cret",
        "http://h?api_key=s3cret#f",
        "http://h?%70assword=s3cret",
        "cassandra://h?password=s3cret",
    ];
    for url in urls {
        let shown = redact(url);
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
        assert!(!format!("{:?}", parse(url)).contains("s3cret"), "{url}");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for url in [
        "embedded:///home/a@b/x?y=1",
        "memory:",
        "redis://h:6379/0",
        "redis-cluster://a:1,b:2?read=any",
        "/a b",
    ] {
        assert_eq!(redact(url), url);
    }
}
