//! Compressed octets in, plain ones out, piece by piece.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

use super::{Coding, Damaged, Expansion};

/// The most that comes out at a time. It lives in the second cache while it is rewritten.
const PIECE: usize = 16 * 1024;

/// The window of zlib and gzip, as large as the formats allow.
const WINDOW_BITS: u8 = 15;

/// The two octets that begin a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

type BrotliStream = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Takes one coding off.
///
/// What follows a complete body is ignored, as browsers do; another gzip member is unpacked.
pub struct Decoder {
    kind: Kind,
    bound: Expansion,
    taken: u64,
    made: u64,
    scratch: Box<[u8]>,
}

enum Kind {
    Identity,
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Box<BrotliStream>),
    /// The body is complete.
    Done,
}

enum Gzip {
    Inside(Decompress),
    /// A member ended; whether another begins is known after two octets.
    Between {
        first_came: bool,
    },
}

enum Deflate {
    /// Whether there is a zlib head is known after two octets.
    Start {
        first: Option<u8>,
    },
    Inside(Decompress),
}

/// What a call of a decompressor did.
struct Ran {
    made: usize,
    ended: bool,
}

impl Decoder {
    /// For one body.
    #[must_use]
    pub fn new(coding: Coding, bound: Expansion) -> Self {
        let kind = match coding {
            Coding::Identity => Kind::Identity,
            Coding::Gzip => Kind::Gzip(Gzip::Inside(Decompress::new_gzip(WINDOW_BITS))),
            Coding::Deflate => Kind::Deflate(Deflate::Start { first: None }),
            // Strict: no window of more than 16 MiB, which is not RFC 7932.
            Coding::Brotli => Kind::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
        };
        let scratch = match coding {
            Coding::Identity => Box::default(),
            _ => vec![0; PIECE].into_boxed_slice(),
        };
        Self {
            kind,
            bound,
            taken: 0,
            made: 0,
            scratch,
        }
    }

    /// Takes from the front of `input` and gives the next piece; `None` says that all of `input`
    /// is taken and nothing more comes of it.
    ///
    /// # Errors
    /// Where the body is damaged or unpacks to too much.
    pub fn decode<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<&'a [u8]>, Damaged> {
        if let Kind::Identity = self.kind {
            let (piece, rest) = input.split_at(input.len().min(PIECE));
            *input = rest;
            return Ok((!piece.is_empty()).then_some(piece));
        }
        let before = input.len();
        let made = self.fill(input)?;
        self.taken += (before - input.len()) as u64;
        self.made += made as u64;
        let allowed = self.taken.saturating_mul(self.bound.ratio);
        if self.made > self.bound.free && self.made > allowed {
            return Err(Damaged::Expands);
        }
        Ok((made > 0).then(|| &self.scratch[..made]))
    }

    /// The body ends here. One that never began is empty: servers send no octets under
    /// `Content-Encoding: gzip`, and browsers take it.
    ///
    /// # Errors
    /// Where it ends too early.
    pub fn end(&self) -> Result<(), Damaged> {
        match self.kind {
            Kind::Identity | Kind::Done | Kind::Gzip(Gzip::Between { .. }) => Ok(()),
            _ if self.taken == 0 => Ok(()),
            _ => Err(Damaged::Truncated),
        }
    }

    /// Fills `scratch`, until something came out or all of `input` went in.
    fn fill(&mut self, input: &mut &[u8]) -> Result<usize, Damaged> {
        loop {
            let ran = match &mut self.kind {
                Kind::Identity | Kind::Done => {
                    *input = &[];
                    return Ok(0);
                }
                Kind::Gzip(gzip) => match gzip.run(input, &mut self.scratch)? {
                    Some(ran) => ran,
                    None => {
                        self.kind = Kind::Done;
                        continue;
                    }
                },
                Kind::Deflate(deflate) => {
                    let ran = deflate.run(input, &mut self.scratch)?;
                    if ran.ended {
                        self.kind = Kind::Done;
                    }
                    ran
                }
                Kind::Brotli(stream) => {
                    let ran = unbrotli(stream, input, &mut self.scratch)?;
                    if ran.ended {
                        self.kind = Kind::Done;
                    }
                    ran
                }
            };
            if ran.made > 0 || (input.is_empty() && !ran.ended) {
                return Ok(ran.made);
            }
        }
    }
}

impl Gzip {
    /// `None` where what follows a member is not another one.
    fn run(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<Option<Ran>, Damaged> {
        loop {
            match self {
                Self::Inside(inflate) => {
                    let ran = run(inflate, input, out)?;
                    if ran.ended {
                        *self = Self::Between { first_came: false };
                    }
                    return Ok(Some(ran));
                }
                Self::Between { first_came } => {
                    let Some((&octet, rest)) = input.split_first() else {
                        let ended = false;
                        return Ok(Some(Ran { made: 0, ended }));
                    };
                    if octet != GZIP_MAGIC[usize::from(*first_came)] {
                        return Ok(None);
                    }
                    *input = rest;
                    if *first_came {
                        let mut inflate = Decompress::new_gzip(WINDOW_BITS);
                        run(&mut inflate, &mut &GZIP_MAGIC[..], out)?;
                        *self = Self::Inside(inflate);
                    } else {
                        *first_came = true;
                    }
                }
            }
        }
    }
}

impl Deflate {
    fn run(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<Ran, Damaged> {
        loop {
            match self {
                Self::Inside(inflate) => return run(inflate, input, out),
                Self::Start { first } => {
                    let Some((&octet, rest)) = input.split_first() else {
                        let ended = false;
                        return Ok(Ran { made: 0, ended });
                    };
                    *input = rest;
                    let Some(first) = *first else {
                        *first = Some(octet);
                        continue;
                    };
                    let begin = [first, octet];
                    let mut inflate = Decompress::new(is_zlib_head(begin));
                    let ran = run(&mut inflate, &mut &begin[..], out)?;
                    *self = Self::Inside(inflate);
                    if ran.made > 0 || ran.ended {
                        return Ok(ran);
                    }
                }
            }
        }
    }
}

/// RFC 1950 section 2.2. No compressor begins a bare deflate stream like this: it would be a stored
/// block whose padding is not zero.
fn is_zlib_head([first, second]: [u8; 2]) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

fn run(inflate: &mut Decompress, input: &mut &[u8], out: &mut [u8]) -> Result<Ran, Damaged> {
    let (taken, made) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, out, FlushDecompress::None)
        .map_err(|_| Damaged::Content)?;
    // Both are at most the length of a slice.
    let taken = (inflate.total_in() - taken) as usize;
    let made = (inflate.total_out() - made) as usize;
    let stands = taken == 0 && made == 0 && !input.is_empty();
    *input = &input[taken..];
    let ended = status == Status::StreamEnd;
    if stands && !ended {
        return Err(Damaged::Content);
    }
    Ok(Ran { made, ended })
}

fn unbrotli(stream: &mut BrotliStream, input: &mut &[u8], out: &mut [u8]) -> Result<Ran, Damaged> {
    let (mut available, mut taken) = (input.len(), 0);
    let (mut room, mut made, mut total) = (out.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut available,
        &mut taken,
        input,
        &mut room,
        &mut made,
        out,
        &mut total,
        stream,
    );
    let ended = match result {
        BrotliResult::ResultSuccess => true,
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => false,
        BrotliResult::ResultFailure => return Err(Damaged::Content),
    };
    if taken == 0 && made == 0 && !ended && !input.is_empty() {
        return Err(Damaged::Content);
    }
    *input = &input[taken..];
    Ok(Ran { made, ended })
}
