//! Encodings of files by PostgreSQL's names. Satsuma itself speaks UTF-8.

use encoding_rs as coders;

use crate::error::{SqlError, SqlResult, SqlState};
use crate::utf8;

/// An encoding that files can be read and written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// As PostgreSQL shows it.
    name: &'static str,
    coder: Coder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coder {
    Utf8,
    /// Every byte is the character of that number.
    Latin1,
    Table(&'static coders::Encoding),
}

/// Other spellings, without case and punctuation; the name as shown; and how it is done.
type Known = (&'static [&'static str], &'static str, Coder);

const KNOWN: &[Known] = &[
    (&["utf8", "unicode"], "UTF8", Coder::Utf8),
    (&["sqlascii"], "SQL_ASCII", Coder::Utf8),
    (&["latin1", "iso88591"], "LATIN1", Coder::Latin1),
    (&["latin2", "iso88592"], "LATIN2", Coder::Table(coders::ISO_8859_2)),
    (&["latin3", "iso88593"], "LATIN3", Coder::Table(coders::ISO_8859_3)),
    (&["latin4", "iso88594"], "LATIN4", Coder::Table(coders::ISO_8859_4)),
    (&["latin6", "iso885910"], "LATIN6", Coder::Table(coders::ISO_8859_10)),
    (&["latin7", "iso885913"], "LATIN7", Coder::Table(coders::ISO_8859_13)),
    (&["latin8", "iso885914"], "LATIN8", Coder::Table(coders::ISO_8859_14)),
    (&["latin9", "iso885915"], "LATIN9", Coder::Table(coders::ISO_8859_15)),
    (&["latin10", "iso885916"], "LATIN10", Coder::Table(coders::ISO_8859_16)),
    (&["iso88595"], "ISO_8859_5", Coder::Table(coders::ISO_8859_5)),
    (&["iso88596"], "ISO_8859_6", Coder::Table(coders::ISO_8859_6)),
    (&["iso88597"], "ISO_8859_7", Coder::Table(coders::ISO_8859_7)),
    (&["iso88598"], "ISO_8859_8", Coder::Table(coders::ISO_8859_8)),
    (&["koi8", "koi8r"], "KOI8R", Coder::Table(coders::KOI8_R)),
    (&["koi8u"], "KOI8U", Coder::Table(coders::KOI8_U)),
    (&["win866", "alt"], "WIN866", Coder::Table(coders::IBM866)),
    (&["win874", "windows874"], "WIN874", Coder::Table(coders::WINDOWS_874)),
    (&["win1250", "windows1250"], "WIN1250", Coder::Table(coders::WINDOWS_1250)),
    (&["win1251", "windows1251", "win"], "WIN1251", Coder::Table(coders::WINDOWS_1251)),
    (&["win1252", "windows1252"], "WIN1252", Coder::Table(coders::WINDOWS_1252)),
    (&["win1253", "windows1253"], "WIN1253", Coder::Table(coders::WINDOWS_1253)),
    (&["win1254", "windows1254"], "WIN1254", Coder::Table(coders::WINDOWS_1254)),
    (&["win1255", "windows1255"], "WIN1255", Coder::Table(coders::WINDOWS_1255)),
    (&["win1256", "windows1256"], "WIN1256", Coder::Table(coders::WINDOWS_1256)),
    (&["win1257", "windows1257"], "WIN1257", Coder::Table(coders::WINDOWS_1257)),
    (
        &["win1258", "windows1258", "abc", "tcvn", "tcvn5712", "vscii"],
        "WIN1258",
        Coder::Table(coders::WINDOWS_1258),
    ),
    (&["big5", "win950", "windows950"], "BIG5", Coder::Table(coders::BIG5)),
    (&["eucjp"], "EUC_JP", Coder::Table(coders::EUC_JP)),
    (&["gb18030"], "GB18030", Coder::Table(coders::GB18030)),
    (&["gbk", "win936", "windows936"], "GBK", Coder::Table(coders::GBK)),
    (
        &["sjis", "shiftjis", "mskanji", "win932", "windows932"],
        "SJIS",
        Coder::Table(coders::SHIFT_JIS),
    ),
    (&["uhc", "win949", "windows949"], "UHC", Coder::Table(coders::EUC_KR)),
];

/// What PostgreSQL has besides.
const REFUSED: &[&str] = &[
    "euccn",
    "eucjis2004",
    "euckr",
    "euctw",
    "iso88599",
    "johab",
    "latin5",
    "muleinternal",
    "shiftjis2004",
];

impl Encoding {
    pub const UTF8: Self = Self { name: "UTF8", coder: Coder::Utf8 };

    /// `None`: there is no encoding of that name. 0A000 for one that is not supported.
    pub fn named(name: &str) -> SqlResult<Option<Self>> {
        let plain = |c: char| c.is_ascii_alphanumeric().then(|| c.to_ascii_lowercase());
        let plain: String = name.chars().filter_map(plain).collect();
        if REFUSED.contains(&plain.as_str()) {
            return Err(SqlError::unsupported(format!("encoding \"{name}\" is not supported"))
                .hint("Convert the file to UTF-8."));
        }
        let known = KNOWN.iter().find(|(names, ..)| names.contains(&plain.as_str()));
        Ok(known.map(|(_, name, coder)| Self { name, coder: *coder }))
    }

    pub fn is_utf8(self) -> bool {
        self.coder == Coder::Utf8
    }

    /// Appends the text. 22P05 for a character that the encoding does not have.
    pub fn encode(self, text: &str, output: &mut Vec<u8>) -> SqlResult<()> {
        match self.coder {
            Coder::Utf8 => output.extend_from_slice(text.as_bytes()),
            Coder::Latin1 => {
                for c in text.chars() {
                    output.push(u8::try_from(u32::from(c)).map_err(|_| self.no_equivalent(c))?);
                }
            }
            Coder::Table(table) => {
                let mut encoder = table.new_encoder();
                let most = encoder.max_buffer_length_from_utf8_without_replacement(text.len());
                let most = most.ok_or_else(|| SqlError::internal("a line is too long"))?;
                output.reserve(most);
                let (result, _) =
                    encoder.encode_from_utf8_to_vec_without_replacement(text, output, true);
                if let coders::EncoderResult::Unmappable(c) = result {
                    return Err(self.no_equivalent(c));
                }
            }
        }
        Ok(())
    }

    fn no_equivalent(self, c: char) -> SqlError {
        let mut bytes = [0; 4];
        let message = format!(
            "character with byte sequence {} in encoding \"UTF8\" has no equivalent in encoding \"{}\"",
            utf8::shown(c.encode_utf8(&mut bytes).as_bytes()),
            self.name
        );
        SqlError::new(SqlState::UNTRANSLATABLE_CHARACTER, message)
    }

    pub fn decoder(self) -> Decoder {
        let table = match self.coder {
            Coder::Table(table) => Some(table.new_decoder_without_bom_handling()),
            Coder::Utf8 | Coder::Latin1 => None,
        };
        Decoder { encoding: self, table }
    }
}

/// Turns a file's bytes into UTF-8, however they are cut.
pub struct Decoder {
    encoding: Encoding,
    table: Option<coders::Decoder>,
}

impl Decoder {
    /// Appends what `bytes` stand for; `last` ends the file. 22021 for bytes that stand for
    /// nothing: what is before them has been appended then.
    pub fn decode(&mut self, bytes: &[u8], last: bool, output: &mut Vec<u8>) -> SqlResult<()> {
        let Some(table) = &mut self.table else {
            match self.encoding.coder {
                Coder::Latin1 => {
                    let mut buffer = [0; 4];
                    for byte in bytes {
                        let c = char::from(*byte).encode_utf8(&mut buffer);
                        output.extend_from_slice(c.as_bytes());
                    }
                }
                Coder::Utf8 | Coder::Table(_) => output.extend_from_slice(bytes),
            }
            return Ok(());
        };
        let most = table.max_utf8_buffer_length_without_replacement(bytes.len());
        let most = most.ok_or_else(|| SqlError::internal("a file's piece is too long"))?;
        let start = output.len();
        output.resize(start + most, 0);
        let (result, read, written) =
            table.decode_to_utf8_without_replacement(bytes, &mut output[start..], last);
        output.truncate(start + written);
        match result {
            coders::DecoderResult::InputEmpty => Ok(()),
            coders::DecoderResult::OutputFull => {
                Err(SqlError::internal("a file's piece does not fit where it should"))
            }
            coders::DecoderResult::Malformed(length, behind) => {
                let end = read.saturating_sub(usize::from(behind));
                let wrong = &bytes[end.saturating_sub(usize::from(length))..end];
                Err(SqlError::new(
                    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                    format!(
                        "invalid byte sequence for encoding \"{}\": {}",
                        self.encoding.name,
                        utf8::shown(wrong)
                    ),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Encoding {
        Encoding::named(name).unwrap().unwrap()
    }

    fn decoded(name: &str, raw: &[u8]) -> SqlResult<String> {
        let mut decoder = named(name).decoder();
        let mut output = Vec::new();
        for byte in raw {
            decoder.decode(&[*byte], false, &mut output)?;
        }
        decoder.decode(&[], true, &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn names_are_postgresqls() {
        assert!(named("Utf-8").is_utf8());
        assert_eq!(named("iso-8859-1"), named("LATIN1"));
        assert_eq!(Encoding::named("nonsense").unwrap(), None);
        assert_eq!(Encoding::named("JOHAB").unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn texts_come_back_as_they_went() {
        for (name, text) in [
            ("latin1", "é\u{80}ÿ"),
            ("latin9", "€"),
            ("win1252", "€“”"),
            ("win1251", "Привет"),
            ("koi8r", "Привет"),
            ("sjis", "日本語カナ"),
            ("euc_jp", "日本語"),
            ("big5", "中文"),
            ("gbk", "中文"),
            ("gb18030", "中文😀"),
            ("uhc", "한국어"),
        ] {
            let mut raw = Vec::new();
            named(name).encode(text, &mut raw).unwrap();
            assert_eq!(decoded(name, &raw).unwrap(), text, "{name}");
        }
    }

    #[test]
    fn what_has_no_equivalent_is_told() {
        let error = named("latin1").encode("a€", &mut Vec::new()).unwrap_err();
        assert_eq!(error.state(), SqlState::UNTRANSLATABLE_CHARACTER);
        assert_eq!(
            error.message(),
            "character with byte sequence 0xe2 0x82 0xac in encoding \"UTF8\" has no equivalent \
             in encoding \"LATIN1\""
        );
        assert!(named("koi8r").encode("€", &mut Vec::new()).is_err());
        let error = decoded("sjis", b"a\xff").unwrap_err();
        assert_eq!(error.message(), "invalid byte sequence for encoding \"SJIS\": 0xff");
        assert!(decoded("big5", b"a\xa4").is_err());
    }
}
