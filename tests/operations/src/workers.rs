//! The threads of a sequence: one does something, the others sleep.
//!
//! ```text
//!  World ── request ──► thread n (starts at its first request) ── answer ──► World
//! ```

use crate::face::{Answer, Face, Request, ask};
use crate::step::THREADS;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Where requests go, and who answers them.
struct Worker<'scope> {
    requests: Sender<Request>,
    answers: Receiver<Answer>,
    thread: ScopedJoinHandle<'scope, ()>,
}

/// The threads beside the caller's.
pub(crate) struct Workers<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    face: &'env dyn Face,
    workers: [Option<Worker<'scope>>; THREADS as usize],
    pub(crate) started: u64,
}

impl<'scope, 'env> Workers<'scope, 'env> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>, face: &'env dyn Face) -> Self {
        Self { scope, face, workers: [const { None }; THREADS as usize], started: 0 }
    }

    /// Has `thread` make the request, and waits for what comes of it.
    ///
    /// # Safety
    /// As [`Face::call`].
    pub(crate) unsafe fn ask(&mut self, thread: u8, request: Request) -> Answer {
        if thread == 0 {
            // SAFETY: by the caller's promise.
            return unsafe { ask(self.face, request) };
        }
        let worker = self.workers[usize::from(thread)].get_or_insert_with(|| {
            self.started += 1;
            start(self.scope, self.face)
        });
        worker.requests.send(request).expect("a worker that waits");
        worker.answers.recv().expect("an answer")
    }

    /// Ends `thread`, if it was started.
    pub(crate) fn exit(&mut self, thread: u8) {
        if let Some(worker) = self.workers[usize::from(thread)].take() {
            drop(worker.requests);
            worker.thread.join().expect("a worker that only answers");
        }
    }
}

fn start<'scope, 'env>(scope: &'scope Scope<'scope, 'env>, face: &'env dyn Face) -> Worker<'scope> {
    let (requests, inbox) = channel::<Request>();
    let (outbox, answers) = channel();
    let thread = scope.spawn(move || {
        for request in inbox {
            // SAFETY: the promise of who sent the request.
            let answer = unsafe { ask(face, request) };
            if outbox.send(answer).is_err() {
                return;
            }
        }
    });
    Worker { requests, answers, thread }
}
