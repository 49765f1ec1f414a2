//! The folder that is written is there whole or not at all.

use nodestore::ErrorKind;
use nodestore::folder::Export;

use crate::{Folder, files, memory};

#[tokio::test]
async fn a_folder_with_something_in_it_is_not_replaced() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.import(&store).await.unwrap();
    let before = files(&folder.storage());
    let export = Export::new(folder.storage());
    assert_eq!(export.run(&*store).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    folder.write("mine.txt", "mine");
    let error = export.clone().with_force(true).run(&*store).await.unwrap_err();
    assert!(error.message().contains("holds mine.txt, which no persisted folder holds"), "{error}");
    std::fs::remove_file(folder.storage().join("mine.txt")).unwrap();
    assert_eq!(files(&folder.storage()), before);
    folder.write("stale__vector_store.json", "{}");
    export.with_force(true).run(&*store).await.unwrap();
    assert_eq!(files(&folder.storage()), before, "what was there is gone");
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1, "nothing is left beside it");
    // JSON files of another kind are not taken for a persisted folder.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("settings.json"), "{}").unwrap();
    let error = Export::new(other.path()).with_force(true).run(&*store).await.unwrap_err();
    assert!(error.message().contains("is no persisted folder, so it is not replaced"), "{error}");
    assert_eq!(files(other.path()).len(), 1);
}

#[tokio::test]
async fn an_export_that_is_stopped_leaves_nothing() {
    let (folder, store) = (Folder::small(), memory().await);
    folder.write("other.bin", vec![7; 100_000]);
    folder.import(&store).await.unwrap();
    let out = folder.0.path().join("out");
    let error = Export::new(&out).with_stop(|| true).run(&*store).await.unwrap_err();
    assert!(error.message().contains("stopped"), "{error}");
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
    // What a killed export left behind is taken away by the next.
    let aside = folder.0.path().join(".out.exporting");
    std::fs::create_dir(&aside).unwrap();
    std::fs::write(aside.join("docstore.json"), "half").unwrap();
    std::fs::create_dir(&out).unwrap();
    Export::new(&out).run(&*store).await.unwrap();
    Export::new(&out).with_force(true).run(&*store).await.unwrap();
    assert_eq!(files(&out)["other.bin"], vec![7; 100_000]);
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 2);
}
