//! One SPDY connection: who may open which stream, what each half still sends, pings and the end.

use bytes::{BufMut, Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::frame::{self, Decoder, Deflater, Error, Frame, Headers, Inflater};
use super::{DATA_FRAME_BYTES_MAX, RESET_INVALID_STREAM, RESET_REFUSED_STREAM, STREAMS_MAX};

/// A stream's number: odd when the client opened it, even when the server did.
pub type StreamId = u32;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// What a peer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream; answer with [`Session::reply`] or [`Session::reset`].
    Open { stream: StreamId, headers: Headers },
    /// The peer took up a stream that was opened here.
    Reply { stream: StreamId, headers: Headers },
    /// Late headers of a stream.
    Headers { stream: StreamId, headers: Headers },
    /// Bytes of a stream: a frame's whole payload or a part of it, in order.
    Data { stream: StreamId, data: Bytes },
    /// The peer sends no more on this stream.
    Fin { stream: StreamId },
    /// The peer gave the stream up; both halves are closed.
    Reset { stream: StreamId, status: u32 },
    /// The answer to [`Session::ping`].
    Pong { id: u32 },
    /// The peer opens and accepts no more streams.
    GoAway { last: StreamId, status: u32 },
}

#[derive(Clone, Copy, Debug, Default)]
struct Halves {
    sent_fin: bool,
    received_fin: bool,
}

/// The state of one connection. Feed it what the socket gives, write to the socket what [`Session::output`] gives.
pub struct Session {
    role: Role,
    decoder: Decoder,
    inflater: Inflater,
    deflater: Deflater,
    streams: HashMap<StreamId, Halves, FixedState>,
    next_stream: StreamId,
    last_peer_stream: StreamId,
    next_ping: u32,
    output: BytesMut,
}

impl Session {
    pub fn new(role: Role) -> Self {
        let first = if role == Role::Client { 1 } else { 2 };
        Self {
            role,
            decoder: Decoder::default(),
            inflater: Inflater::new(),
            deflater: Deflater::new(),
            streams: HashMap::default(),
            next_stream: first,
            last_peer_stream: 0,
            next_ping: first,
            output: BytesMut::new(),
        }
    }

    /// Takes bytes from the socket and says what they mean. After an error the connection must be closed.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        self.decoder.feed(bytes);
        let mut events = Vec::new();
        while let Some(frame) = self.decoder.next()? {
            match frame {
                Frame::Data { stream, fin, part } => self.data_received(stream, fin, part, &mut events),
                Frame::Control { kind, flags, payload } => self.control_received(kind, flags, payload, &mut events)?,
            }
        }
        Ok(events)
    }

    /// What is to be written to the socket now; empty when nothing is.
    pub fn output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Bytes waiting in [`Session::output`].
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Opens a stream. None when the ids are used up, after two billion.
    pub fn open(&mut self, headers: &Headers) -> Option<StreamId> {
        let stream = self.next_stream;
        if stream > 0x7fff_ffff {
            return None;
        }
        self.next_stream += 2;
        self.streams.insert(stream, Halves::default());
        let block = self.deflater.block(headers);
        let mut payload = Vec::with_capacity(10 + block.len());
        payload.put_u32(stream);
        payload.put_u32(0);
        payload.put_u16(0);
        payload.put_slice(&block);
        frame::put_control(&mut self.output, frame::SYN_STREAM, 0, &payload);
        Some(stream)
    }

    /// Takes up a stream that the peer opened.
    pub fn reply(&mut self, stream: StreamId, headers: &Headers) {
        let block = self.deflater.block(headers);
        let mut payload = Vec::with_capacity(4 + block.len());
        payload.put_u32(stream);
        payload.put_slice(&block);
        frame::put_control(&mut self.output, frame::SYN_REPLY, 0, &payload);
    }

    /// Sends bytes, cut into frames. False when this half is closed already: the bytes go nowhere.
    pub fn data(&mut self, stream: StreamId, bytes: &[u8]) -> bool {
        if self.streams.get(&stream).is_none_or(|halves| halves.sent_fin) {
            return false;
        }
        for part in bytes.chunks(DATA_FRAME_BYTES_MAX) {
            frame::put_data(&mut self.output, stream, false, part);
        }
        true
    }

    /// Closes this half: the peer reads the end of the stream and may go on sending.
    pub fn finish(&mut self, stream: StreamId) {
        if let Some(halves) = self.streams.get_mut(&stream)
            && !halves.sent_fin
        {
            halves.sent_fin = true;
            frame::put_data(&mut self.output, stream, true, &[]);
            self.forget_if_done(stream);
        }
    }

    /// Gives a stream up, both halves.
    pub fn reset(&mut self, stream: StreamId, status: u32) {
        self.streams.remove(&stream);
        self.put_reset(stream, status);
    }

    /// Asks the peer for a sign of life; [`Event::Pong`] carries the id returned here.
    pub fn ping(&mut self) -> u32 {
        let id = self.next_ping;
        self.next_ping = self.next_ping.wrapping_add(2);
        frame::put_control(&mut self.output, frame::PING, 0, &id.to_be_bytes());
        id
    }

    /// Says that no more streams are taken.
    pub fn go_away(&mut self) {
        let mut payload = [0u8; 8];
        payload[..4].copy_from_slice(&self.last_peer_stream.to_be_bytes());
        frame::put_control(&mut self.output, frame::GOAWAY, 0, &payload);
    }

    /// Streams with at least one half open.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    fn put_reset(&mut self, stream: StreamId, status: u32) {
        let mut payload = [0u8; 8];
        payload[..4].copy_from_slice(&stream.to_be_bytes());
        payload[4..].copy_from_slice(&status.to_be_bytes());
        frame::put_control(&mut self.output, frame::RST_STREAM, 0, &payload);
    }

    fn forget_if_done(&mut self, stream: StreamId) {
        if self.streams.get(&stream).is_some_and(|halves| halves.sent_fin && halves.received_fin) {
            self.streams.remove(&stream);
        }
    }

    fn fin_received(&mut self, stream: StreamId, events: &mut Vec<Event>) {
        if let Some(halves) = self.streams.get_mut(&stream) {
            halves.received_fin = true;
            events.push(Event::Fin { stream });
            self.forget_if_done(stream);
        }
    }

    fn data_received(&mut self, stream: StreamId, fin: bool, part: Bytes, events: &mut Vec<Event>) {
        match self.streams.get(&stream) {
            // A stream given up here may still have bytes under way: they are dropped, as spdystream does.
            None => {}
            Some(halves) if halves.received_fin => {}
            Some(_) => {
                if !part.is_empty() {
                    events.push(Event::Data { stream, data: part });
                }
                if fin {
                    self.fin_received(stream, events);
                }
            }
        }
    }

    fn control_received(
        &mut self,
        kind: u16,
        flags: u8,
        mut payload: Bytes,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let fin = flags & frame::FLAG_FIN != 0;
        match kind {
            frame::SYN_STREAM => {
                let stream = frame::take_u32(&mut payload)? & 0x7fff_ffff;
                frame::take_u32(&mut payload)?;
                if payload.len() < 2 {
                    return Err(Error::Truncated);
                }
                // Inflate first: a refused stream's headers still move the shared compression context.
                let headers = self.inflater.headers(&payload[2..])?;
                let parity = if self.role == Role::Client { 0 } else { 1 };
                if stream % 2 != parity || stream <= self.last_peer_stream {
                    return Err(Error::StreamId(stream));
                }
                self.last_peer_stream = stream;
                if self.streams.len() >= STREAMS_MAX {
                    self.put_reset(stream, RESET_REFUSED_STREAM);
                    return Ok(());
                }
                let sent_fin = flags & frame::FLAG_UNIDIRECTIONAL != 0;
                self.streams.insert(stream, Halves { sent_fin, received_fin: false });
                events.push(Event::Open { stream, headers });
                if fin {
                    self.fin_received(stream, events);
                }
            }
            frame::SYN_REPLY | frame::HEADERS => {
                let stream = frame::take_u32(&mut payload)? & 0x7fff_ffff;
                let headers = self.inflater.headers(&payload)?;
                if !self.streams.contains_key(&stream) {
                    self.put_reset(stream, RESET_INVALID_STREAM);
                    return Ok(());
                }
                events.push(match kind {
                    frame::SYN_REPLY => Event::Reply { stream, headers },
                    _ => Event::Headers { stream, headers },
                });
                if fin {
                    self.fin_received(stream, events);
                }
            }
            frame::RST_STREAM => {
                let stream = frame::take_u32(&mut payload)? & 0x7fff_ffff;
                let status = frame::take_u32(&mut payload)?;
                if self.streams.remove(&stream).is_some() {
                    events.push(Event::Reset { stream, status });
                }
            }
            frame::PING => {
                let id = frame::take_u32(&mut payload)?;
                let own = if self.role == Role::Client { 1 } else { 0 };
                if id % 2 == own {
                    events.push(Event::Pong { id });
                } else {
                    frame::put_control(&mut self.output, frame::PING, 0, &id.to_be_bytes());
                }
            }
            frame::GOAWAY => {
                let last = frame::take_u32(&mut payload)? & 0x7fff_ffff;
                let status = frame::take_u32(&mut payload)?;
                events.push(Event::GoAway { last, status });
            }
            // SETTINGS, WINDOW_UPDATE and what is unknown: see the module's words on windows.
            _ => {}
        }
        Ok(())
    }
}
