//! Encodings of files by PostgreSQL's names. Satsuma itself speaks UTF-8.
//!
//! The tables are those of browsers. What PostgreSQL has otherwise in an encoding of one byte a
//! character is corrected, so that no byte stands for another character than there.

use std::borrow::Cow;

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

/// Browsers' letters in `KOI8U`, and what PostgreSQL has in their place.
const KOI8U_LETTERS: [(char, char); 2] = [('\u{45e}', '\u{255d}'), ('\u{40e}', '\u{256c}')];

/// What is written in `SJIS` as the ASCII character at the same place.
const SJIS_ASCII: [(char, char); 2] = [('\u{a5}', '\\'), ('\u{203e}', '~')];

/// The text with the first of each pair become the second.
fn exchanged<'a>(text: &'a str, pairs: &[(char, char)]) -> Cow<'a, str> {
    let of = |c: char| pairs.iter().find(|(from, _)| *from == c).map(|(_, to)| *to);
    match text.chars().any(|c| of(c).is_some()) {
        true => Cow::Owned(text.chars().map(|c| of(c).unwrap_or(c)).collect()),
        false => Cow::Borrowed(text),
    }
}

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

    /// Whether the table has the character, and PostgreSQL has not. Browsers take bytes of code
    /// pages that stand for nothing for control characters.
    fn lacks(self, c: char) -> bool {
        let is_control = matches!(c, '\u{80}'..='\u{9f}');
        match self.name {
            "KOI8U" => KOI8U_LETTERS.iter().any(|(letter, _)| *letter == c),
            "EUC_JP" => SJIS_ASCII.iter().any(|(lookalike, _)| *lookalike == c),
            "WIN1255" => is_control || c == '\u{5ba}',
            name => is_control && (name.starts_with("WIN") || name == "SJIS"),
        }
    }

    /// The text with ASCII characters for those that the encoding writes as such: what it means
    /// to who reads the file's bytes.
    pub fn as_read(self, text: &str) -> Cow<'_, str> {
        match self.name {
            "SJIS" => exchanged(text, &SJIS_ASCII),
            _ => Cow::Borrowed(text),
        }
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
                if let Some(c) = text.chars().find(|c| self.lacks(*c)) {
                    return Err(self.no_equivalent(c));
                }
                let text = match self.name {
                    "KOI8U" => exchanged(text, &KOI8U_LETTERS.map(|(theirs, ours)| (ours, theirs))),
                    _ => Cow::Borrowed(text),
                };
                let mut encoder = table.new_encoder();
                let most = encoder.max_buffer_length_from_utf8_without_replacement(text.len());
                let most = most.ok_or_else(|| SqlError::internal("a line is too long"))?;
                output.reserve(most);
                let (result, _) =
                    encoder.encode_from_utf8_to_vec_without_replacement(&text, output, true);
                if let coders::EncoderResult::Unmappable(c) = result {
                    return Err(self.no_equivalent(c));
                }
            }
        }
        Ok(())
    }

    /// Makes what the table gave from `start` on what PostgreSQL has. 22P05 for a byte that stands
    /// for nothing there: what is before it stays.
    fn correct(self, output: &mut Vec<u8>, start: usize) -> SqlResult<()> {
        let Coder::Table(table) = self.coder else { return Ok(()) };
        let is_koi8u = self.name == "KOI8U";
        if !is_koi8u && !self.name.starts_with("WIN") && self.name != "SJIS" {
            return Ok(());
        }
        let text = std::str::from_utf8(&output[start..])
            .map_err(|_| SqlError::internal("a table gave what is no text"))?;
        if is_koi8u {
            let text = exchanged(text, &KOI8U_LETTERS).into_owned();
            output.truncate(start);
            output.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let Some((at, c)) = text.char_indices().find(|(_, c)| self.lacks(*c)) else {
            return Ok(());
        };
        let mut buffer = [0; 4];
        let (byte, ..) = table.encode(c.encode_utf8(&mut buffer));
        let message = format!(
            "character with byte sequence {} in encoding \"{}\" has no equivalent in encoding \"UTF8\"",
            utf8::shown(&byte),
            self.name
        );
        output.truncate(start + at);
        Err(SqlError::new(SqlState::UNTRANSLATABLE_CHARACTER, message))
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
        self.encoding.correct(output, start)?;
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
    fn bytes_stand_for_what_they_do_in_postgresql() {
        for (name, raw) in [
            ("win1252", b"a\x81"),
            ("win874", b"a\x86"),
            ("win1251", b"a\x98"),
            ("win1255", b"a\xca"),
            ("sjis", b"a\x80"),
        ] {
            let mut output = Vec::new();
            let error = named(name).decoder().decode(raw, true, &mut output).unwrap_err();
            assert_eq!(error.state(), SqlState::UNTRANSLATABLE_CHARACTER, "{name}");
            assert_eq!(output, b"a", "{name}");
        }
        let error = decoded("win1252", b"\x81").unwrap_err();
        assert_eq!(
            error.message(),
            "character with byte sequence 0x81 in encoding \"WIN1252\" has no equivalent in \
             encoding \"UTF8\""
        );
        assert_eq!(decoded("koi8u", b"\xae\xbe\xa4").unwrap(), "\u{255d}\u{256c}\u{454}");
        let mut raw = Vec::new();
        named("koi8u").encode("\u{255d}\u{256c}\u{454}", &mut raw).unwrap();
        assert_eq!(raw, b"\xae\xbe\xa4");
        for (name, text) in [
            ("koi8u", "\u{45e}"),
            ("win1252", "\u{81}"),
            ("win1255", "\u{5ba}"),
            ("eucjp", "\u{a5}"),
        ] {
            assert!(named(name).encode(text, &mut Vec::new()).is_err(), "{name}");
        }
        assert_eq!(named("sjis").as_read("\u{a5}N\u{203e}"), "\\N~");
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
