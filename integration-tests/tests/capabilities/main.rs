//! What the backends say of themselves, as tables: on the front page of each backend's crate, in `README.md`, and side by
//! side in `docs/capabilities.md`.
//!
//! The tables are made of what opened stores declare, of their plans of queries, and of constants and defaults in the
//! code. A run fails where a page has another; `NODESTORE_UPDATE_PAGES=1` writes them there.
//!
//! Needs the servers that `scripts/servers/with` starts. Without one, the pages that need it show as ignored, or fail
//! when `STORE_TEST_REQUIRE` is set.

mod filters;
mod stores;
mod tables;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nodestore_integration_tests::{page, required};

use crate::stores::{BACKENDS, Kind, OTHERS, Store};
use crate::tables::Column;

type Outcome<T = ()> = Result<T, Failed>;

fn main() -> ExitCode {
    let servers = || BACKENDS.iter().filter_map(|kind| kind.variable);
    let others = OTHERS.iter().filter_map(|other| other.kind.variable);
    let mut trials = Vec::new();
    for kind in BACKENDS.iter().filter(|kind| kind.feature.is_some()) {
        let server = kind.variable.into_iter().collect();
        trials.push(trial(&format!("{}::declared", kind.name), server, move || block_on(declared(kind))));
        trials.push(trial(&format!("{}::settings", kind.name), Vec::new(), move || block_on(settings(kind))));
    }
    trials.push(trial("readme", servers().collect(), || block_on(readme())));
    trials.push(trial("side_by_side", servers().chain(others).collect(), || block_on(side_by_side())));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A page that needs the servers of these variables.
fn trial(name: &str, variables: Vec<&'static str>, run: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing = variables.iter().find_map(|variable| stores::server(variable).err());
        match missing {
            Some(why) if required() => Err(why.into()),
            Some(why) => Ok(Completion::ignored_with(why)),
            None => run().map(|()| Completion::Completed),
        }
    })
}

fn block_on(page: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Runtime::new()?.block_on(page)
}

/// The front page of a crate has a table of what its store declares.
async fn declared(kind: &Kind) -> Outcome {
    let store = Store::open(kind, "").await?;
    let table = tables::of_one(&store.capabilities());
    Ok(page::hold(&kind.front_page(), &[("capabilities", table)])?)
}

/// The front page of a crate tells of every setting of its URL.
async fn settings(kind: &Kind) -> Outcome {
    // MongoDB's URL is the driver's, which tells of its own settings.
    let unknown = if kind.name == "mongodb" { "store.x" } else { "x" };
    let Err(error) = nodestore::open(&format!("{}?{unknown}=1", kind.form)).await else {
        return Err(format!("{} takes the setting {unknown}", kind.form).into());
    };
    let (_, known) = error.message().split_once("known are ").ok_or("the error lists no settings")?;
    let page = page::read(&kind.front_page())?;
    let untold: Vec<_> = known.split(", ").filter(|key| !page.contains(&format!("`{key}`"))).collect();
    if untold.is_empty() {
        return Ok(());
    }
    Err(format!("{} does not tell of {}", kind.front_page(), untold.join(", ")).into())
}

/// The table by which people look for their database.
async fn readme() -> Outcome {
    let mut rows = Vec::new();
    for kind in &BACKENDS {
        rows.push((kind, Store::open(kind, "").await?.capabilities()));
    }
    Ok(page::hold("README.md", &[("backends", tables::of_backends(&rows))])?)
}

/// Everything, for comparing.
async fn side_by_side() -> Outcome {
    let (mut declared, mut answered) = (Vec::new(), Vec::new());
    for kind in &BACKENDS {
        let store = Store::open(kind, "").await?;
        declared.push(Column { title: kind.name.to_owned(), rows: tables::declared(&store.capabilities()) });
        answered.push(Column { title: kind.name.to_owned(), rows: filters::answered(&store).await? });
        store.remove().await?;
    }
    let mut differences = Vec::new();
    for other in &OTHERS {
        let store = Store::open(&other.kind, other.option).await?;
        let usual = declared.iter().find(|column| column.title == other.kind.name);
        let rows = tables::declared(&store.capabilities());
        differences
            .push((other, tables::differing(usual.map_or(&[][..], |column| column.rows.as_slice()), &rows)));
        if other.filters {
            let title = format!("{}, `{}`", other.kind.name, other.option);
            answered.push(Column { title, rows: filters::answered(&store).await? });
        }
        store.remove().await?;
    }
    let parts = [
        ("declared", tables::side_by_side(&declared)),
        ("settings", tables::of_differences(&differences)),
        ("filters", tables::side_by_side(&answered)),
        ("defaults", tables::of_defaults()),
        ("limits", tables::of_limits()),
    ];
    Ok(page::hold("docs/capabilities.md", &parts)?)
}
