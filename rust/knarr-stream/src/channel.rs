//! Channel framing of the WebSocket subprotocols for exec, attach and (old) port-forward: the first byte of a message names the
//! channel, the rest is its bytes. The base64 variants send text: a digit, then base64.
//!
//! | protocol | channels | end of stdin |
//! | --- | --- | --- |
//! | `v5.channel.k8s.io` | 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize | message `[255, 0]` |
//! | `v4.channel.k8s.io` | the same, error carries a Status | none: the connection's end |
//! | `channel.k8s.io`, `base64.channel.k8s.io`, `v4.base64.channel.k8s.io` | as above | none |
//! | `v4.channel.k8s.io` and its base64 form, port-forward | for each port one for data, one for errors | none |
//!
//! Source: apimachinery `pkg/util/remotecommand/constants.go`, `pkg/util/httpstream/wsstream/conn.go`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const ERROR: u8 = 3;
pub const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
/// Numbers from here on are no channels: in base64 one is a letter, counted on from `0`.
pub const CHANNELS_MAX: u8 = 64;

/// The subprotocol agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V5,
    V4,
    V4Base64,
    /// `channel.k8s.io` and the empty one: the error channel carries plain text.
    V1,
    V1Base64,
}

impl Protocol {
    const ALL: [Self; 5] = [Self::V5, Self::V4, Self::V4Base64, Self::V1, Self::V1Base64];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V4Base64 => "v4.base64.channel.k8s.io",
            Self::V1 => "channel.k8s.io",
            Self::V1Base64 => "base64.channel.k8s.io",
        }
    }

    /// The first of the client's offers that is spoken here; None when there is none.
    pub fn choose<'a>(offers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        offers.into_iter().find_map(|offer| Self::ALL.into_iter().find(|known| known.as_str() == offer.trim()))
    }

    /// True when the error channel carries a Status object (v4 and later) rather than plain text.
    pub fn has_status(self) -> bool {
        !matches!(self, Self::V1 | Self::V1Base64)
    }

    fn is_base64(self) -> bool {
        matches!(self, Self::V4Base64 | Self::V1Base64)
    }

    /// Reads one message. None for a message that means nothing in this protocol (an empty one is legal and ignored).
    pub fn decode(self, message: &Bytes) -> Option<Input> {
        let (&first, _) = message.split_first()?;
        if self.is_base64() {
            let channel = first.checked_sub(b'0').filter(|channel| *channel < CHANNELS_MAX)?;
            return Some(Input::Data(channel, Bytes::from(STANDARD.decode(&message[1..]).ok()?)));
        }
        if first == CLOSE && self == Self::V5 {
            return message.get(1).map(|channel| Input::Close(*channel));
        }
        (first < CHANNELS_MAX).then(|| Input::Data(first, message.slice(1..)))
    }

    /// One message for `channel`, a number below [`CHANNELS_MAX`].
    pub fn encode(self, channel: u8, bytes: &[u8]) -> Output {
        if self.is_base64() {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel % CHANNELS_MAX));
            STANDARD.encode_string(bytes, &mut text);
            return Output::Text(text);
        }
        let mut message = Vec::with_capacity(1 + bytes.len());
        message.push(channel);
        message.extend_from_slice(bytes);
        Output::Binary(Bytes::from(message))
    }
}

/// What a client's message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Data(u8, Bytes),
    /// The client sends no more on this channel (v5 only).
    Close(u8),
}

/// A message to the client, in the frame type its protocol asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Binary(Bytes),
    Text(String),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(output: Output) -> Bytes {
        match output {
            Output::Binary(bytes) => bytes,
            Output::Text(text) => Bytes::from(text),
        }
    }

    #[test]
    fn clients_choose_and_the_newest_they_name_first_wins() {
        let kubectl =
            ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
        assert_eq!(Protocol::choose(kubectl), Some(Protocol::V5));
        assert_eq!(Protocol::choose(["v3.channel.k8s.io", " v4.channel.k8s.io"]), Some(Protocol::V4));
        assert_eq!(Protocol::choose(["SPDY/3.1+portforward.k8s.io"]), None);
    }

    #[test]
    fn only_v5_closes_a_channel() {
        let close = Bytes::from_static(&[255, 0]);
        assert_eq!(Protocol::V5.decode(&close), Some(Input::Close(STDIN)));
        assert_eq!(Protocol::V4.decode(&close), None);
        assert_eq!(Protocol::V5.decode(&Bytes::from_static(&[255])), None);
        assert_eq!(Protocol::V5.decode(&Bytes::new()), None);
    }

    #[test]
    fn base64_messages_start_with_a_digit() {
        assert_eq!(Protocol::V4Base64.encode(STDOUT, b"hello"), Output::Text("1aGVsbG8=".to_owned()));
        assert_eq!(
            Protocol::V4Base64.decode(&Bytes::from_static(b"0aGk=")),
            Some(Input::Data(STDIN, Bytes::from_static(b"hi")))
        );
        assert_eq!(Protocol::V4Base64.decode(&Bytes::from_static(b"0!")), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(channel in 0u8..CHANNELS_MAX, data in proptest::collection::vec(any::<u8>(), 0..300)) {
            for protocol in Protocol::ALL {
                let message = back(protocol.encode(channel, &data));
                prop_assert_eq!(protocol.decode(&message), Some(Input::Data(channel, Bytes::from(data.clone()))));
            }
        }

        #[test]
        fn no_message_panics(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let message = Bytes::from(data);
            for protocol in Protocol::ALL {
                let _ = protocol.decode(&message);
            }
        }
    }
}
