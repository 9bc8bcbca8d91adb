//! Plain octets in, compressed ones out, flushed where the application flushed.

use std::io::Write;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::Coding;

/// Level 1 does 500 MB/s on a page, level 3 half of it for a tenth of its size.
const GZIP_LEVEL: Compression = Compression::fast();

/// Quality 2 makes three quarters of what gzip makes, at a third of its speed. It is rare:
/// applications are asked for gzip.
const BROTLI_QUALITY: i32 = 2;

/// A window of 256 KiB: more is memory for each response.
const BROTLI_WINDOW_BITS: i32 = 18;

/// What the brotli encoder hands over at a time.
const BROTLI_BUFFER: usize = 4096;

/// The least room that is made for output.
const ROOM: usize = 4096;

/// Puts one coding on again.
pub struct Encoder {
    kind: Kind,
    /// Something was taken since the last flush.
    pending: bool,
    begun: bool,
}

enum Kind {
    Identity,
    /// gzip or zlib, as it was made.
    Deflate(Compress),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

/// The compressor refused, which it has no reason to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body could not be compressed again")]
pub struct EncodeFailed;

impl Encoder {
    /// For one body.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        let kind = match coding {
            Coding::Identity => Kind::Identity,
            Coding::Gzip => Kind::Deflate(Compress::new_gzip(GZIP_LEVEL, 15)),
            Coding::Deflate => Kind::Deflate(Compress::new(GZIP_LEVEL, true)),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW_BITS,
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
                Kind::Brotli(Box::new(writer))
            }
        };
        Self {
            kind,
            pending: false,
            begun: false,
        }
    }

    /// Whether what goes in comes out, so that it may be written past this encoder.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self.kind, Kind::Identity)
    }

    /// Takes octets, and gives what is ready.
    ///
    /// # Errors
    /// Where the compressor refuses.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFailed> {
        if input.is_empty() {
            return Ok(());
        }
        self.pending = true;
        self.begun = true;
        match &mut self.kind {
            Kind::Identity => out.extend_from_slice(input),
            Kind::Deflate(compress) => deflate(compress, input, FlushCompress::None, out)?,
            Kind::Brotli(writer) => {
                writer.write_all(input).map_err(|_| EncodeFailed)?;
                out.append(writer.get_mut());
            }
        }
        Ok(())
    }

    /// Gives all that was taken, in a form that can be unpacked now.
    ///
    /// # Errors
    /// Where the compressor refuses.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeFailed> {
        if !std::mem::take(&mut self.pending) {
            return Ok(());
        }
        match &mut self.kind {
            Kind::Identity => {}
            Kind::Deflate(compress) => deflate(compress, &[], FlushCompress::Sync, out)?,
            Kind::Brotli(writer) => {
                writer.flush().map_err(|_| EncodeFailed)?;
                out.append(writer.get_mut());
            }
        }
        Ok(())
    }

    /// Ends the body. One without an octet stays without.
    ///
    /// # Errors
    /// Where the compressor refuses.
    pub fn end(self, out: &mut Vec<u8>) -> Result<(), EncodeFailed> {
        if !self.begun {
            return Ok(());
        }
        match self.kind {
            Kind::Identity => {}
            Kind::Deflate(mut compress) => deflate(&mut compress, &[], FlushCompress::Finish, out)?,
            Kind::Brotli(writer) => out.append(&mut writer.into_inner()),
        }
        Ok(())
    }
}

fn deflate(
    compress: &mut Compress,
    mut input: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> Result<(), EncodeFailed> {
    loop {
        out.reserve(ROOM);
        let (taken, before) = (compress.total_in(), out.len());
        let status = compress
            .compress_vec(input, out, flush)
            .map_err(|_| EncodeFailed)?;
        // At most the length of a slice.
        let taken = (compress.total_in() - taken) as usize;
        input = &input[taken..];
        let had_room = out.len() < out.capacity();
        let done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => input.is_empty() && had_room,
        };
        if done {
            return Ok(());
        }
        if taken == 0 && out.len() == before && had_room {
            return Err(EncodeFailed);
        }
    }
}
