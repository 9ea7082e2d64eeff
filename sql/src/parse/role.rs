//! Statements about users, which are statements about roles.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::tokens::is_word;

/// Groups are roles.
pub fn without_groups(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    let changes_members = (word(3, "add") || word(3, "drop")) && word(4, "user");
    let is_one = (word(0, "create") || word(0, "alter") || word(0, "drop")) && word(1, "group");
    if is_one && !changes_members {
        tokens[1].token = Token::make_keyword("ROLE");
    }
    tokens
}

/// `RESET SESSION AUTHORIZATION` is RESET of a setting. `CREATE USER` is `CREATE ROLE .. LOGIN` and `ALTER USER` is `ALTER ROLE`; `ENCRYPTED` before
/// `PASSWORD` says what is so anyway.
pub fn adapt(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|it| is_word(&it.token, text));
    if word(0, "reset") && word(1, "session") && word(2, "authorization") {
        // The setting that shows it.
        let span = tokens[1].span;
        let name = TokenWithSpan { token: Token::make_word("session_authorization", None), span };
        tokens.splice(1..3, [name]);
        return tokens;
    }
    let (create, alter) = (word(0, "create"), word(0, "alter"));
    let is_user = word(1, "user") && !word(2, "mapping");
    if !(create || alter) || !(is_user || word(1, "role")) {
        return tokens;
    }
    if is_user {
        let span = tokens[1].span;
        tokens[1] = TokenWithSpan { token: Token::make_keyword("ROLE"), span };
        let says_login = tokens
            .iter()
            .skip(3)
            .any(|it| is_word(&it.token, "login") || is_word(&it.token, "nologin"));
        if create && !says_login && tokens.len() > 2 {
            let span = tokens[tokens.len() - 1].span;
            tokens.push(TokenWithSpan { token: Token::make_keyword("LOGIN"), span });
        }
    }
    settle_limit(&mut tokens);
    if alter {
        settle_list(&mut tokens);
    }
    let encrypted = tokens.windows(2).position(|pair| {
        is_word(&pair[0].token, "encrypted") && is_word(&pair[1].token, "password")
    });
    if let Some(at) = encrypted {
        tokens.remove(at);
    }
    tokens
}

/// `CONNECTION LIMIT -1`: the grammar behind takes one token for the number.
fn settle_limit(tokens: &mut Vec<TokenWithSpan>) {
    let found = tokens.windows(4).position(|it| {
        is_word(&it[0].token, "connection")
            && is_word(&it[1].token, "limit")
            && it[2].token == Token::Minus
            && matches!(it[3].token, Token::Number(..))
    });
    if let Some(at) = found
        && let Token::Number(digits, _) = &tokens[at + 3].token
    {
        tokens[at + 3].token = Token::Number(format!("-{digits}"), false);
        tokens.remove(at + 2);
    }
}

/// `SET search_path TO a, b`: several values go between parentheses, as the grammar behind takes
/// one.
fn settle_list(tokens: &mut Vec<TokenWithSpan>) {
    let set = tokens.iter().position(|it| is_word(&it.token, "set"));
    let Some(set) = set.filter(|_| tokens.iter().any(|it| it.token == Token::Comma)) else {
        return;
    };
    let begins = |it: &TokenWithSpan| it.token == Token::Eq || is_word(&it.token, "to");
    let Some(to) = tokens.iter().skip(set).position(begins).map(|at| set + at) else { return };
    let span = tokens[to].span;
    tokens.insert(to + 1, TokenWithSpan { token: Token::LParen, span });
    tokens.push(TokenWithSpan { token: Token::RParen, span });
}

#[cfg(test)]
mod tests {
    fn rewritten(sql: &str) -> String {
        let parsed = crate::parse::parse(sql).unwrap();
        let [one] = parsed.as_slice() else { panic!("one statement") };
        let crate::parse::Statement::Sql(statement) = &one.statement else { panic!("SQL") };
        statement.to_string()
    }

    #[test]
    fn a_user_is_a_role_that_may_log_in() {
        assert_eq!(rewritten("CREATE USER ada"), "CREATE ROLE ada LOGIN");
        assert_eq!(rewritten("CREATE USER ada NOLOGIN"), "CREATE ROLE ada NOLOGIN");
        assert_eq!(rewritten("CREATE ROLE ada"), "CREATE ROLE ada");
        assert_eq!(
            rewritten("ALTER ROLE ada CONNECTION LIMIT -1"),
            "ALTER ROLE ada WITH CONNECTION LIMIT -1"
        );
        assert_eq!(
            rewritten("ALTER ROLE ada SET search_path TO x, \"Y\""),
            "ALTER ROLE ada SET search_path TO (x, \"Y\")"
        );
        assert_eq!(
            rewritten("ALTER USER ada WITH ENCRYPTED PASSWORD 'x'"),
            rewritten("ALTER ROLE ada PASSWORD 'x'")
        );
    }
}
