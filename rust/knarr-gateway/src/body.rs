//! Bodies of answers: bytes at hand, a watch out of the hub, or a stream proxied from elsewhere.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use knarr_watch::{WatchItem, Watcher};

/// What can go wrong while a body is sent; the connection or stream ends.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes joined into one frame of a busy watch: small enough to flow, large enough that TLS records and h2 frames are full.
const JOINED_BYTES_MAX: usize = 64 << 10;

/// The body of any answer. Small, because every idle stream holds one.
pub enum ReplyBody {
    Empty,
    One(Bytes),
    Many(VecDeque<Bytes>),
    Watch(Box<WatchBody>),
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplyBody({:?} bytes)", self.len())
    }
}

impl ReplyBody {
    /// Bytes, in as many pieces as they came.
    pub fn whole(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        match chunks.len() {
            0 => Self::Empty,
            1 => Self::One(chunks.swap_remove(0)),
            _ => Self::Many(chunks.into()),
        }
    }

    /// The length when it is known before sending.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::One(bytes) => Some(bytes.len() as u64),
            Self::Many(chunks) => Some(chunks.iter().map(|chunk| chunk.len() as u64).sum()),
            Self::Watch(_) | Self::Stream(_) => None,
        }
    }

    /// The next piece as it was made: of a watch one event. None: the end, or a failure that ends it.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Self::Watch(watch) = self {
            return watch.next(cx);
        }
        loop {
            match std::task::ready!(Pin::new(&mut *self).poll_frame(cx)) {
                // Trailers are not part of what is shown.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(data)),
                    Err(_) => continue,
                },
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match &mut *self {
            Self::Empty => None,
            Self::One(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Some(bytes)
            }
            Self::Many(chunks) => chunks.pop_front(),
            Self::Watch(watch) => return watch.poll(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => return stream.as_mut().poll_frame(cx),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match (self, self.len()) {
            (Self::Stream(stream), _) => stream.size_hint(),
            (_, Some(length)) => SizeHint::with_exact(length),
            (_, None) => SizeHint::default(),
        }
    }
}

/// Figures of all watches of a server.
#[derive(Debug, Default)]
pub struct WatchFigures {
    pub open: AtomicI64,
    pub frames: AtomicU64,
}

/// A watch's frames, shared with every other watcher of the same encoding; under load several are joined into one write.
pub struct WatchBody {
    watcher: Watcher,
    /// Taken out of the watcher but too large to join.
    held: Option<Bytes>,
    ended: bool,
    figures: Arc<WatchFigures>,
}

impl WatchBody {
    pub fn new(watcher: Watcher, figures: Arc<WatchFigures>) -> Self {
        figures.open.fetch_add(1, Ordering::Relaxed);
        Self { watcher, held: None, ended: false, figures }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(bytes) = self.held.take() {
            return Poll::Ready(Some(bytes));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match self.watcher.poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(item)) => {
                self.figures.frames.fetch_add(1, Ordering::Relaxed);
                match item {
                    WatchItem::Frame(bytes) => Poll::Ready(Some(bytes)),
                    WatchItem::End(bytes) => {
                        self.ended = true;
                        Poll::Ready(Some(bytes))
                    }
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let first = match self.next(cx) {
            Poll::Ready(Some(bytes)) => bytes,
            other => return other,
        };
        let mut joined: Option<BytesMut> = None;
        // The waker is parked by the poll that finds nothing; what was gathered goes out first, and hyper polls again after it.
        while let Poll::Ready(Some(next)) = self.next(cx) {
            let length = joined.as_ref().map_or(first.len(), BytesMut::len);
            if length + next.len() > JOINED_BYTES_MAX {
                self.held = Some(next);
                break;
            }
            let buffer = joined.get_or_insert_with(|| {
                let mut buffer = BytesMut::with_capacity((first.len() + next.len()) * 2);
                buffer.extend_from_slice(&first);
                buffer
            });
            buffer.extend_from_slice(&next);
        }
        Poll::Ready(Some(joined.map_or(first, BytesMut::freeze)))
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.figures.open.fetch_sub(1, Ordering::Relaxed);
    }
}
