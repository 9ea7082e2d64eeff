use super::*;

fn text_of(ty: &str, text: &str) -> SqlResult<String> {
    let ty = PgType::parse_name(ty).unwrap();
    let context = TextContext::default();
    Ok(to_text(&ty, &input(&ty, text, &context)?, &context)?.unwrap_or_default())
}

#[test]
fn length_limits() {
    let context = TextContext::default();
    let fit = |ty: PgType, text: &str| input(&ty, text, &context);
    assert_eq!(fit(PgType::Varchar(Some(3)), "äöü  ").unwrap(), Datum::Text("äöü".into()));
    let error = fit(PgType::Varchar(Some(3)), "abcd").unwrap_err();
    assert_eq!(error.message(), "value too long for type character varying(3)");
    assert_eq!(error.state(), SqlState::STRING_DATA_RIGHT_TRUNCATION);
    assert_eq!(fit(PgType::Bpchar(Some(3)), "a").unwrap(), Datum::Text("a  ".into()));
    assert_eq!(fit(PgType::Name, &"ä".repeat(40)).unwrap(), Datum::Text("ä".repeat(31)));
    assert!(fit(PgType::Text, "a\0").is_err());
}

#[test]
fn arrays_of_more_dimensions_are_refused() {
    assert_eq!(
        text_of("int[]", "{{1,2},{3,4}}").unwrap_err().state(),
        SqlState::FEATURE_NOT_SUPPORTED
    );
    assert_eq!(text_of("int[]", "[1:2]={1,2}").unwrap(), "{1,2}");
}
