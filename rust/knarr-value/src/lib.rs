//! The value type, quantities, selectors and codecs.
