//! Replies on their way from the half of a connection that reads to the half that writes.
//!
//! Both halves are one task, polled one after the other by [`side_by_side`]. A channel would wake
//! the task that is just running: the runtime then hands it to another worker thread, which costs
//! a call more than the call itself.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use parking_lot::Mutex;

use crate::rpc::reply::Reply;

/// Replies that wait for the client to read them; beyond, its next call waits.
const CAPACITY: usize = 16;

/// The replies of one connection, in order.
#[derive(Debug, Default)]
pub(super) struct Replies(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Reply>,
    /// The reading half has ended.
    complete: bool,
    /// The reading half has a reply more than there is room for.
    crowded: bool,
}

impl Replies {
    /// Adds a reply, when there is room.
    pub(super) async fn push(&self, reply: Reply) {
        poll_fn(|_| {
            let mut state = self.0.lock();
            state.crowded = state.waiting.len() >= CAPACITY;
            if state.crowded { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.0.lock().waiting.push_back(reply);
    }

    /// The next reply, when there is one; none after the last.
    pub(super) async fn next(&self) -> Option<Reply> {
        poll_fn(|_| {
            let mut state = self.0.lock();
            match state.waiting.pop_front() {
                None if !state.complete => Poll::Pending,
                next => Poll::Ready(next),
            }
        })
        .await
    }

    /// The next reply, if it is here.
    pub(super) fn take(&self) -> Option<Reply> {
        self.0.lock().waiting.pop_front()
    }

    /// Whether room has come that the reading half waits for.
    fn has_made_room(&self) -> bool {
        let state = self.0.lock();
        state.crowded && state.waiting.len() < CAPACITY
    }
}

/// Runs both halves until the writing one ends: after the last reply, or because nothing more can
/// be said, and then nothing more is heard. A failure to read counts once all is written.
pub(super) async fn side_by_side<E>(
    replies: &Replies,
    reading: impl Future<Output = Result<(), E>>,
    writing: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let (mut reading, mut writing) = (pin!(reading), pin!(writing));
    let mut read = None;
    let written = poll_fn(|context| {
        loop {
            if read.is_none()
                && let Poll::Ready(outcome) = reading.as_mut().poll(context)
            {
                read = Some(outcome);
                replies.0.lock().complete = true;
            }
            if let Poll::Ready(outcome) = writing.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            if !replies.has_made_room() {
                return Poll::Pending;
            }
        }
    })
    .await;
    written.and(read.unwrap_or(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn read(replies: &Replies, count: usize, then: Result<(), u8>) -> Result<(), u8> {
        for _ in 0..count {
            replies.push(Reply::default()).await;
        }
        then
    }

    async fn write(replies: &Replies, seen: &AtomicUsize) -> Result<(), u8> {
        while replies.next().await.is_some() {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    #[test]
    fn more_replies_than_there_is_room_for_pass_without_a_wake_up() {
        let (replies, seen) = (Replies::default(), AtomicUsize::new(0));
        let count = std::sync::Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let both = side_by_side(&replies, read(&replies, 100, Ok(())), write(&replies, &seen));
        assert_eq!(pin!(both).poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(())));
        assert_eq!((seen.load(Ordering::Relaxed), count.0.load(Ordering::Relaxed)), (100, 0));
    }

    #[tokio::test]
    async fn replies_made_before_a_reading_error_are_written() {
        let (replies, seen) = (Replies::default(), AtomicUsize::new(0));
        let both = side_by_side(&replies, read(&replies, 3, Err(7)), write(&replies, &seen));
        assert_eq!(both.await, Err(7));
        assert_eq!(seen.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_client_that_takes_no_replies_stops_the_reading_of_its_calls() {
        let replies = Replies::default();
        let reading = read(&replies, 100, Ok(()));
        let mut both = pin!(side_by_side(&replies, reading, std::future::pending()));
        assert_eq!(both.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        assert_eq!(replies.0.lock().waiting.len(), CAPACITY);
    }
}
