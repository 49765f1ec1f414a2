use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// Of the store `writer`, its change `number`.
fn mark(writer: u8, number: u8) -> Mark {
    (u128::from(writer) << 64 | u128::from(number)).to_be_bytes()
}

/// The marks after changes, the oldest first.
fn marks(changes: impl IntoIterator<Item = (u8, u8)>) -> Marks {
    changes.into_iter().fold(Marks::default(), |marks, (writer, number)| marks.with(&mark(writer, number)))
}

#[test]
fn a_list_keeps_the_last_mark_of_each_store() {
    let list = marks([(1, 1), (2, 1), (1, 2), (3, 1), (1, 3)]);
    assert_eq!(list.all(), [mark(1, 3), mark(3, 1), mark(2, 1)]);
    let many = marks((0..40).map(|writer| (writer, 1)));
    assert_eq!((many.all().len(), many.size()), (32, 512));
    assert_eq!((many.all().first(), many.all().last()), (Some(&mark(39, 1)), Some(&mark(8, 1))));
    let one = Writer::default();
    assert_eq!(Marks::default().with(&one.mark()).with(&one.mark()).all().len(), 1);
}

#[test]
fn marks_tell_what_became_of_a_transaction() {
    let ours = mark(9, 2);
    let fate = |before: &Marks, found: &Marks| Fate::of(&ours, before, found, before == found);
    let none = Marks::default();
    let before = marks([(1, 1), (2, 1)]);

    assert_eq!(fate(&none, &none), Fate::Open);
    assert_eq!(fate(&before, &before), Fate::Open);
    assert_eq!(fate(&none, &marks([(9, 2)])), Fate::Made);
    assert_eq!(fate(&before, &marks([(1, 1), (2, 1), (9, 2), (2, 2)])), Fate::Made);
    // Others were faster, however often.
    assert_eq!(fate(&none, &marks([(1, 1)])), Fate::Missed);
    assert_eq!(fate(&before, &marks([(1, 1), (2, 1), (3, 1)])), Fate::Missed);
    assert_eq!(fate(&before, &marks((3..200).flat_map(|n| [(1, n), (2, n)]))), Fate::Missed);
    // Our last one stands as it did.
    let earlier = marks([(9, 1)].into_iter().chain((10..41).map(|writer| (writer, 1))));
    assert_eq!(fate(&marks([(9, 1)]), &earlier), Fate::Missed);
    // As many stores as a list has places: ours may have been among them.
    assert_eq!(fate(&none, &marks((10..41).map(|writer| (writer, 1)))), Fate::Missed);
    assert_eq!(fate(&none, &marks((10..42).map(|writer| (writer, 1)))), Fate::Unknown);
    assert_eq!(fate(&before, &marks((10..42).map(|writer| (writer, 1)))), Fate::Unknown);
    // Who took marks away may have taken ours.
    assert_eq!(fate(&before, &none), Fate::Unknown);
    assert_eq!(fate(&before, &marks([(3, 1)])), Fate::Unknown);
    // A plain write beside it.
    assert_eq!(Fate::of(&ours, &before, &before, false), Fate::Missed);
    assert_eq!(Fate::of(&ours, &none, &none, false), Fate::Missed);
}

#[test]
fn rows_are_changed_together() {
    use Fate::{Made, Missed, Open, Unknown};
    assert_eq!(Fate::of_rows(&[Unknown, Made, Missed]), Made);
    assert_eq!(Fate::of_rows(&[Open, Open]), Open);
    assert_eq!(Fate::of_rows(&[Open, Unknown]), Missed);
    assert_eq!(Fate::of_rows(&[Unknown, Missed]), Missed);
    assert_eq!(Fate::of_rows(&[Unknown, Unknown]), Unknown);
}

/// What the nodes answer to attempts and looks, each in turn; the number of attempts.
async fn run(attempts: Vec<Result<bool>>, looks: Vec<Result<Fate>>) -> (Result<bool>, usize) {
    let (count, attempts, looks) =
        (Cell::new(0), RefCell::new(VecDeque::from(attempts)), RefCell::new(VecDeque::from(looks)));
    let attempt = || {
        count.set(count.get() + 1);
        let answer = attempts.borrow_mut().pop_front();
        async { answer.unwrap() }
    };
    let look = || {
        let answer = looks.borrow_mut().pop_front();
        async { answer.unwrap() }
    };
    let made = once(LIMIT, attempt, look).await;
    assert!(attempts.borrow().is_empty() && looks.borrow().is_empty(), "not all was asked for");
    (made, count.get())
}

fn lost<T>() -> Result<T> {
    Err(timed_out(LIMIT))
}

#[tokio::test]
async fn a_lost_answer_is_found_out() {
    let settled = |(made, attempts): (Result<bool>, usize)| (made.unwrap(), attempts);
    assert_eq!(settled(run(vec![Ok(true)], vec![]).await), (true, 1));
    assert_eq!(settled(run(vec![Ok(false)], vec![]).await), (false, 1));
    assert_eq!(settled(run(vec![lost()], vec![Ok(Fate::Made)]).await), (true, 1));
    assert_eq!(settled(run(vec![lost()], vec![Ok(Fate::Missed)]).await), (false, 1));
    assert_eq!(settled(run(vec![lost(), Ok(true)], vec![lost(), Ok(Fate::Open)]).await), (true, 2));
    // The first was made in the end, and the second found it so.
    assert_eq!(settled(run(vec![lost(), Ok(false)], vec![Ok(Fate::Open), Ok(Fate::Made)]).await), (true, 2));
}

#[tokio::test]
async fn what_can_not_be_known_is_said() {
    let (answer, _) = run(vec![lost()], vec![Ok(Fate::Unknown)]).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, false));
    assert!(error.message().contains("can not be known"), "{error}");

    // What says that nothing was written hides none before it.
    let refused = || Error::invalid_input("the node refuses the statement");
    let (answer, _) = run(vec![Err(refused())], vec![]).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::InvalidInput);
    let (answer, _) = run(vec![lost(), Err(refused())], vec![Ok(Fate::Open)]).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);

    // A fault of the node's is not waited out.
    let fault = Error::new(ErrorKind::Other, "the node has a fault of its own");
    let (answer, attempts) = run(vec![Err(fault)], vec![Ok(Fate::Open)]).await;
    assert_eq!((answer.unwrap_err().kind(), attempts), (ErrorKind::Other, 1));
}

#[tokio::test]
async fn it_ends_with_its_time() {
    let limit = Duration::from_millis(50);
    let made = once(limit, || async { lost() }, std::future::pending).await;
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Timeout);
    let answers = Cell::new(1);
    let attempt = || async { if answers.replace(0) == 0 { std::future::pending().await } else { lost() } };
    let made = once(limit, attempt, || async { Ok(Fate::Open) }).await;
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Timeout);
}
