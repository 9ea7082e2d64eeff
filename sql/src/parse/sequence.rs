//! CREATE SEQUENCE with its options in any order.

use sqlparser::tokenizer::TokenWithSpan;

use super::tokens::is_word;

/// The grammar behind takes options in this order only.
const ORDER: [&str; 8] =
    ["as", "increment", "minvalue", "maxvalue", "start", "cache", "cycle", "owned"];

/// Puts the options of CREATE SEQUENCE in order.
pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let temporary = usize::from(word(1, "temporary") || word(1, "temp"));
    if !word(0, "create") || !word(1 + temporary, "sequence") {
        return tokens;
    }
    let mut name = 2 + temporary;
    if word(name, "if") {
        name += 3;
    }
    let place = |at: usize| ORDER.iter().position(|option| word(at, option));
    // NO belongs to the word behind it.
    let starts = |at: usize| match word(at, "no") {
        true => place(at + 1),
        false if word(at - 1, "no") => None,
        false => place(at),
    };
    let Some(first) = (name + 1..tokens.len()).find(|at| starts(*at).is_some()) else {
        return tokens;
    };
    let starts: Vec<(usize, usize)> =
        (first..tokens.len()).filter_map(|at| Some((starts(at)?, at))).collect();
    let ends = starts.iter().skip(1).map(|(_, at)| *at).chain([tokens.len()]);
    let mut parts: Vec<(usize, &[TokenWithSpan])> =
        starts.iter().zip(ends).map(|((place, at), end)| (*place, &tokens[*at..end])).collect();
    parts.sort_by_key(|(place, _)| *place);
    let options: Vec<TokenWithSpan> =
        parts.into_iter().flat_map(|(_, part)| part.iter().cloned()).collect();
    tokens.truncate(first);
    tokens.extend(options);
    tokens
}

#[cfg(test)]
mod tests {
    #[test]
    fn options_stand_in_any_order() {
        for sql in [
            "CREATE SEQUENCE s INCREMENT 2 NO MAXVALUE START 5 NO CYCLE",
            "CREATE SEQUENCE s START 5 NO CYCLE INCREMENT 2 NO MAXVALUE",
        ] {
            let parsed = crate::parse::parse(sql).unwrap();
            let [one] = parsed.as_slice() else { panic!("one statement") };
            let crate::parse::Statement::Sql(statement) = &one.statement else { panic!("SQL") };
            let text = statement.to_string();
            assert!(text.ends_with("INCREMENT 2 NO MAXVALUE START 5 NO CYCLE"), "{text}");
        }
    }
}
