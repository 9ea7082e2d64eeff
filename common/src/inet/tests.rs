use super::*;

fn inet(text: &str) -> Inet {
    Inet::parse(text).unwrap()
}

#[test]
fn text_round_trips() {
    for text in ["10.1.2.3", "10.1.2.3/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4/96", "::/0"] {
        assert_eq!(inet(text).to_string(), text);
    }
    assert_eq!(inet("10.1/16").to_string(), "10.1.0.0/16");
    for bad in ["", "10", "10.1", "1.2.3.4.5", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/", "::1/129"] {
        assert_eq!(Inet::parse(bad), Err(InetError::Inet(bad.into())));
    }
}

#[test]
fn cidr_fills_in_octets_and_refuses_host_bits() {
    let cidr = |text| Inet::parse_cidr(text).map(|value| value.cidr_text());
    assert_eq!(cidr("10").unwrap(), "10.0.0.0/8");
    assert_eq!(cidr("0x0a01").unwrap(), "10.1.0.0/16");
    assert_eq!(cidr("224").unwrap(), "224.0.0.0/4");
    assert_eq!(cidr("192.168").unwrap(), "192.168.0.0/24");
    assert_eq!(cidr("192.168.1.7").unwrap(), "192.168.1.7/32");
    assert_eq!(cidr("10.1.0.0/8"), Err(InetError::HostBits("10.1.0.0/8".into())));
}

#[test]
fn abbreviations() {
    let abbrev = |text| Inet::parse_cidr(text).unwrap().abbrev_cidr();
    assert_eq!(abbrev("10.0.0.0/8"), "10/8");
    assert_eq!(abbrev("0.0.0.0/0"), "0/0");
    assert_eq!(abbrev("2001:db8::/32"), "2001:db8/32");
    assert_eq!(abbrev("1:2:3::/48"), "1:2:3/48");
    assert_eq!(inet("::1:2").to_string(), "::0.1.0.2");
}

#[test]
fn containment() {
    assert!(inet("192.168.1/24").contains(&inet("192.168.1.5")));
    assert!(!inet("192.168.1/24").contains(&inet("192.168.1/24")));
    assert!(inet("192.168.1/24").contains_or_equals(&inet("192.168.1/24")));
    assert!(inet("192.168.1/28").overlaps(&inet("192.168.1/24")));
    assert!(!inet("::/0").overlaps(&inet("192.168.1/24")));
}

#[test]
fn sortable_form_keeps_order() {
    let mut values: Vec<Inet> =
        ["10.1.0.0/8", "10.0.0.0/16", "10.0.0.0/8", "10.0.0.1", "9.9.9.9", "::1", "::/0"]
            .map(inet)
            .to_vec();
    values.sort();
    let encoded: Vec<_> = values.iter().map(Inet::to_sortable).collect();
    assert!(encoded.is_sorted());
    for (value, bytes) in values.iter().zip(&encoded) {
        assert_eq!(Inet::from_sortable(bytes), Some(*value));
        assert_eq!(Inet::from_sortable(&bytes[1..]), None);
    }
}

/// `operation, arguments, result`, tab separated; by PostgreSQL 15.
const ORACLE: &str = include_str!("oracle.golden");

fn apply(operation: &str, a: &[&str]) -> Result<String> {
    let first = inet(a[0]);
    let second = || inet(a[1]);
    let truth = |value: bool| if value { "t" } else { "f" }.to_owned();
    Ok(match operation {
        "host" => first.host(),
        "network" => first.network().cidr_text(),
        "broadcast" => first.broadcast().to_string(),
        "netmask" => first.netmask().to_string(),
        "hostmask" => first.hostmask().to_string(),
        "masklen" => first.prefix.to_string(),
        "family" => first.family().to_string(),
        "abbrev" => first.abbrev(),
        "text" => first.text(),
        "abbrev_cidr" => first.network().abbrev_cidr(),
        "not" => first.not().to_string(),
        "set_masklen" => first.set_masklen(a[1].parse().unwrap())?.to_string(),
        "+" => first.add(a[1].parse().unwrap())?.to_string(),
        "-" => first.distance(&second())?.to_string(),
        "<<" => truth(second().contains(&first)),
        "<<=" => truth(second().contains_or_equals(&first)),
        ">>" => truth(first.contains(&second())),
        ">>=" => truth(first.contains_or_equals(&second())),
        "&&" => truth(first.overlaps(&second())),
        "cmp" => (first.cmp(&second()) as i32).to_string(),
        "merge" => first.merge(&second())?.cidr_text(),
        "and" => first.and(&second())?.to_string(),
        "or" => first.or(&second())?.to_string(),
        other => panic!("unknown operation {other}"),
    })
}

#[test]
fn operations_are_postgresql_s() {
    for line in ORACLE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (operation, arguments) = (fields[0], &fields[1..fields.len() - 1]);
        let actual = apply(operation, arguments).unwrap_or_else(|error| {
            let error = SqlError::from(error);
            format!("ERROR {} {}", error.state(), error.message())
        });
        let mut expected = fields[fields.len() - 1].to_owned();
        if operation == "cmp" {
            // Only the sign tells.
            expected = expected.parse::<i32>().unwrap().signum().to_string();
        }
        assert_eq!(actual, expected, "{line}");
    }
}
