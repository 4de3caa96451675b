//! A blob whose every change waits until the test says how it ends, and which runs it to its end also when the caller
//! was dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;

use crate::error::Error;
use crate::header::{Header, HeaderState, Kind};
use crate::name::{BlobId, Salt, StoreId};
use crate::storage::{Blob, check_read};
use crate::sync::{Mutex, lock};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Write(u64, Vec<u8>),
    WriteSync(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Script(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    content: Vec<u8>,
    calls: Vec<Call>,
    open: VecDeque<(Call, oneshot::Sender<Result<(), Error>>)>,
    at_once: bool,
    fail_next: Option<Error>,
}

#[derive(Debug)]
struct ScriptBlob {
    id: BlobId,
    header: Header,
    script: Script,
}

impl Script {
    pub(super) fn blob(&self) -> Arc<dyn Blob> {
        Arc::new(ScriptBlob {
            id: BlobId::new(&"".into(), "script", b"s").unwrap(),
            header: Header { kind: Kind::USER, unit: 0, item: 0, store: StoreId(0), salt: Salt(0) },
            script: self.clone(),
        })
    }

    /// Every change that has begun, in order.
    pub(super) fn calls(&self) -> Vec<Call> {
        lock(&self.0).calls.clone()
    }

    /// Ends the oldest change that is under way.
    pub(super) fn end(&self, result: Result<(), Error>) {
        let mut state = lock(&self.0);
        let (call, answer) = state.open.pop_front().expect("a change is under way");
        if result.is_ok() {
            state.apply(&call);
        }
        drop(state);
        let _ = answer.send(result);
    }

    /// From now on changes end by themselves.
    pub(super) fn answer_at_once(&self) {
        lock(&self.0).at_once = true;
    }

    pub(super) fn fail_next(&self, error: Error) {
        lock(&self.0).fail_next = Some(error);
    }

    async fn call(&self, call: Call) -> Result<(), Error> {
        let wait = {
            let mut state = lock(&self.0);
            state.calls.push(call.clone());
            if state.at_once {
                if let Some(error) = state.fail_next.take() {
                    return Err(error);
                }
                state.apply(&call);
                return Ok(());
            }
            assert!(state.open.is_empty(), "two changes at once");
            let (answer, wait) = oneshot::channel();
            state.open.push_back((call, answer));
            wait
        };
        wait.await.expect("the script answers")
    }
}

impl State {
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Write(offset, data) | Call::WriteSync(offset, data) => {
                let start = usize::try_from(*offset).unwrap();
                let end = start + data.len();
                self.content.resize(self.content.len().max(end), 0);
                self.content[start..end].copy_from_slice(data);
            }
            Call::Resize(len) => self.content.resize(usize::try_from(*len).unwrap(), 0),
            Call::Sync => {}
        }
    }
}

#[async_trait]
impl Blob for ScriptBlob {
    fn id(&self) -> &BlobId {
        &self.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        HeaderState::Sound
    }

    fn len(&self) -> u64 {
        lock(&self.script.0).content.len() as u64
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let state = lock(&self.script.0);
        Some(check_read(&self.id, offset, len, state.content.len() as u64).map(|()| {
            let start = usize::try_from(offset).unwrap();
            Bytes::copy_from_slice(&state.content[start..start + len])
        }))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.try_read_at(offset, len).unwrap()
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        self.script.call(Call::Write(offset, data.concat())).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        self.script.call(Call::Resize(len)).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.script.call(Call::Sync).await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        self.script.call(Call::WriteSync(offset, data.concat())).await
    }

    async fn write_header(&self) -> Result<(), Error> {
        Ok(())
    }
}
