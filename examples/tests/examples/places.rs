//! Where an example runs: on a server that others use too, in a namespace that nothing else has.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::{Completion, Failed, Trial};
use nodestore::Backend;
use nodestore::dynamodb::{DynamoDbBackend, DynamoDbConfig};

use crate::Outcome;

/// A place on a server.
pub(crate) struct Place {
    /// The server, as its variable names it.
    pub(crate) server: String,
    pub(crate) namespace: String,
    /// What the example is given.
    pub(crate) url: String,
}

/// The example that needs these variables, the first of which names its server.
pub(crate) fn on(
    name: &'static str,
    variables: &'static [&'static str],
    run: impl FnOnce(&Place) -> Outcome + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(missing) = variables.iter().find(|name| value(name).is_none()) {
            let why = format!("{missing} is not set; scripts/test-all sets it");
            if nodestore_integration_tests::required() {
                return Err(why.into());
            }
            return Ok(Completion::ignored_with(why));
        }
        let place = Place::new(variables.iter().find_map(|name| value(name)).unwrap_or_default())?;
        let outcome = run(&place);
        // What went wrong first is told first.
        outcome.and(place.remove()).map(|()| Completion::Completed)
    })
}

impl Place {
    fn new(server: String) -> Outcome<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let namespace = format!("e{now:x}{}", COUNT.fetch_add(1, Ordering::Relaxed));
        // A single table has a name in place of a namespace. The machine may be busy.
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let (base, own) = if base.starts_with("dynamodb:") {
            (format!("{}/{namespace}", base.trim_end_matches('/')), String::new())
        } else {
            (base.to_owned(), format!("store.namespace={namespace}&"))
        };
        let url = format!("{base}?{own}store.create=true&store.operation_timeout_ms=60000&{query}");
        let url = url.trim_end_matches('&').to_owned();
        Ok(Self { server, namespace, url })
    }

    /// Removes what the example has written.
    fn remove(&self) -> Outcome {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            if self.url.starts_with("dynamodb:") {
                let config: DynamoDbConfig = self.url.parse()?;
                let store = DynamoDbBackend::connect(config).await?;
                store.client()?.delete_table().table_name(&self.namespace).send().await?;
            } else {
                nodestore::open(&self.url).await?.drop_namespace().await?;
            }
            Ok::<_, Failed>(())
        })
    }
}
