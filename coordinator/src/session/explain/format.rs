//! EXPLAIN's other formats: the text's tree, told as JSON, YAML or XML with the names that
//! PostgreSQL and Citus have for it.
//!
//! ```text
//! Limit                                   {"Plan": {"Node Type": "Limit",
//!   ->  Custom Scan (Citus Adaptive)        "Plans": [{"Node Type": "Custom Scan", ..
//!         Task Count: 32                      "Distributed Query": {"Job": {"Task Count": 32,
//!         ->  Task                              "Tasks": [{"Node": .., "Remote Plan": ..
//! ```

use serde_json::{Map, Value, json};

/// An operator with its properties.
#[derive(Debug, Default, PartialEq)]
struct Node {
    title: String,
    properties: Vec<(String, String)>,
    children: Vec<Node>,
    /// About the whole plan that this is the root of.
    whole: Vec<(String, String)>,
}

const ARROW: &str = "->  ";

/// Reads the text's indentation. Lines without an arrow belong to the operator whose text they stand
/// right of; those that stand below the text of one are about the plan that it is the root of.
fn read(lines: &[String]) -> Node {
    // Operators that are still open, with the column of their text.
    let mut open: Vec<(usize, Node)> = Vec::new();
    for line in lines {
        let text = line.trim_start();
        let column = line.len() - text.len();
        match text.strip_prefix(ARROW) {
            Some(title) => {
                let column = column + ARROW.len();
                close(&mut open, column);
                open.push((column, Node { title: title.to_owned(), ..Node::default() }));
            }
            None if open.is_empty() => {
                open.push((0, Node { title: text.to_owned(), ..Node::default() }));
            }
            None => {
                let (name, value) = text.split_once(": ").unwrap_or((text, ""));
                let property = (name.to_owned(), value.to_owned());
                close(&mut open, column + 1);
                match open.last_mut() {
                    Some((at, node)) if *at < column => node.properties.push(property),
                    Some((_, node)) => node.whole.push(property),
                    None => {}
                }
            }
        }
    }
    close(&mut open, 1);
    open.pop().map(|(_, node)| node).unwrap_or_default()
}

/// Operators at the column or right of it are complete.
fn close(open: &mut Vec<(usize, Node)>, column: usize) {
    while open.len() > 1 && open.last().is_some_and(|(at, _)| *at >= column) {
        if let Some((_, node)) = open.pop()
            && let Some((_, parent)) = open.last_mut()
        {
            parent.children.push(node);
        }
    }
}

/// A number where the text is one.
fn value(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) => json!(number),
        Err(_) => match text.strip_suffix(" ms").and_then(|ms| ms.parse::<f64>().ok()) {
            Some(ms) => json!(ms),
            None => json!(text),
        },
    }
}

/// A property's names and values: some are told together in the text.
fn fields(operator: &str, name: &str, text: &str) -> Vec<(String, Value)> {
    let parts: Vec<_> = text.split("  ").map(|part| part.split_once(": ")).collect();
    let kilobytes = |text: &str| value(text.trim_end_matches("kB"));
    match (name, &parts[..]) {
        ("Sort Key" | "Group Key" | "Output", _) => vec![(name.into(), json!(list(text)))],
        ("Instead", _) => {
            vec![(name.into(), json!(text.split("; ").collect::<Vec<_>>()))]
        }
        ("Sort Method", [None, Some((space, size))]) => {
            let method = text.split("  ").next().unwrap_or(text);
            vec![
                (name.into(), json!(method)),
                ("Sort Space Used".into(), kilobytes(size)),
                ("Sort Space Type".into(), json!(space)),
            ]
        }
        ("Batches", [None, sizes @ ..]) => {
            let batches = if operator == "Hash" { "Hash Batches" } else { "HashAgg Batches" };
            let first = text.split("  ").next().unwrap_or(text);
            let named = |(name, size): (&str, &str)| {
                let name = if name == "Memory Usage" { "Peak Memory Usage" } else { name };
                (name.to_owned(), kilobytes(size))
            };
            let sizes = sizes.iter().flatten().copied().map(named);
            std::iter::once((batches.to_owned(), value(first))).chain(sizes).collect()
        }
        ("Disk Usage", _) => vec![(name.into(), kilobytes(text))],
        _ => vec![(name.into(), value(text))],
    }
}

/// Expressions that commas separate, outside of parentheses and quotes.
fn list(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0_u32, false, 0);
    let mut items = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                items.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(text[start..].trim());
    items
}

impl Node {
    fn plan(&self) -> Value {
        let mut plan = Map::new();
        let (title, measured) = match self.title.split_once(" (actual ") {
            Some((title, measured)) => (title, Some(measured.trim_end_matches(')'))),
            None => match self.title.strip_suffix(" (never executed)") {
                Some(title) => (title, Some("time=0.0..0.0 rows=0 loops=0")),
                None => (self.title.as_str(), None),
            },
        };
        match title.strip_prefix("Custom Scan (") {
            Some(provider) => {
                plan.insert("Node Type".into(), json!("Custom Scan"));
                let provider = provider.trim_end_matches(')');
                plan.insert("Custom Plan Provider".into(), json!(provider));
            }
            None => name_operator(title, &mut plan),
        }
        plan.insert("Parallel Aware".into(), json!(false));
        plan.insert("Async Capable".into(), json!(false));
        if let Some(measured) = measured {
            for part in measured.split_whitespace() {
                match part.split_once('=') {
                    Some(("time", times)) => {
                        let (first, last) = times.split_once("..").unwrap_or(("0", times));
                        let ms = |text: &str| json!(text.parse::<f64>().unwrap_or(0.0));
                        plan.insert("Actual Startup Time".into(), ms(first));
                        plan.insert("Actual Total Time".into(), ms(last));
                    }
                    Some(("rows", rows)) => {
                        plan.insert("Actual Rows".into(), value(rows));
                    }
                    Some(("loops", loops)) => {
                        plan.insert("Actual Loops".into(), value(loops));
                    }
                    _ => {}
                }
            }
        }
        if title.starts_with("Custom Scan (") {
            let is_job =
                |name: &str| !matches!(name, "Output" | "Filter") && !name.starts_with("Rows");
            let (job, own) = self.properties.iter().partition(|(name, _)| is_job(name));
            let own: Vec<&(String, String)> = own;
            plan.extend(own.iter().flat_map(|(name, text)| fields(title, name, text)));
            plan.insert("Distributed Query".into(), json!({ "Job": self.job(job) }));
            return Value::Object(plan);
        }
        plan.extend(self.properties.iter().flat_map(|(name, text)| fields(title, name, text)));
        if !self.children.is_empty() {
            let member = title == "Append";
            let relations = ["Outer", "Inner"].iter().chain(std::iter::repeat(&"Inner"));
            let child = |(child, relation): (&Self, &&str)| {
                let mut plan = child.plan();
                let relation = if member { "Member" } else { relation };
                if let Value::Object(plan) = &mut plan {
                    plan.insert("Parent Relationship".into(), json!(relation));
                }
                plan
            };
            let children: Vec<Value> = self.children.iter().zip(relations).map(child).collect();
            plan.insert("Plans".into(), Value::Array(children));
        }
        Value::Object(plan)
    }

    /// The plan with what is told of all of it.
    fn document(&self) -> Value {
        let mut plan = Map::new();
        plan.insert("Plan".into(), self.plan());
        plan.extend(self.whole.iter().map(|(name, text)| (name.clone(), value(text))));
        Value::Object(plan)
    }

    /// What is below a Citus scan: tasks, and jobs whose rows they read.
    fn job(&self, properties: Vec<&(String, String)>) -> Value {
        let mut job = Map::new();
        for (name, text) in properties {
            job.extend(fields("Job", name, text));
        }
        let (tasks, inputs): (Vec<&Self>, Vec<_>) =
            self.children.iter().partition(|child| child.title == "Task");
        if !inputs.is_empty() {
            let inputs = inputs.into_iter().map(Self::dependent).collect();
            job.insert("Dependent Jobs".into(), Value::Array(inputs));
        }
        let tasks = tasks.into_iter().map(Self::task).collect();
        job.insert("Tasks".into(), Value::Array(tasks));
        Value::Object(job)
    }

    fn task(&self) -> Value {
        let mut task = Map::new();
        for (name, text) in &self.properties {
            task.extend(fields("Task", name, text));
        }
        let plans = self.children.iter().map(|plan| json!([plan.document()])).collect();
        task.insert("Remote Plan".into(), Value::Array(plans));
        Value::Object(task)
    }

    fn dependent(&self) -> Value {
        let mut job = Map::new();
        job.insert("Job Type".into(), json!(self.title));
        for (name, text) in &self.properties {
            job.extend(fields("Job", name, text));
        }
        let plans = self.children.iter().map(Self::plan).collect();
        job.insert("Plans".into(), Value::Array(plans));
        Value::Object(job)
    }
}

/// `Index Scan using i on t a` in parts.
fn name_operator(title: &str, plan: &mut Map<String, Value>) {
    let (title, target) = match title.split_once(" on ") {
        Some((title, target)) => (title, Some(target)),
        None => (title, None),
    };
    let (operator, index) = match title.split_once(" using ") {
        Some((operator, index)) => (operator, Some(index)),
        None => (title, None),
    };
    let change = matches!(operator, "Insert" | "Update" | "Delete" | "Merge");
    let join = ["Hash", "Merge", "Nested Loop"].iter().find_map(|kind| {
        let rest = operator.strip_prefix(kind)?.trim();
        let rest = rest.strip_suffix("Join").unwrap_or(rest).trim();
        matches!(rest, "Left" | "Right" | "Full" | "Semi" | "Anti").then_some((*kind, rest))
    });
    match (change, join) {
        (true, _) => {
            plan.insert("Node Type".into(), json!("ModifyTable"));
            plan.insert("Operation".into(), json!(operator));
        }
        (false, Some((kind, side))) => {
            let kind = if kind == "Nested Loop" { kind.into() } else { format!("{kind} Join") };
            plan.insert("Node Type".into(), json!(kind));
            plan.insert("Join Type".into(), json!(side));
        }
        (false, None) if operator.ends_with("Aggregate") => {
            let (mode, kind) = operator.rsplit_once(' ').unwrap_or(("Simple", operator));
            let strategy = match kind {
                "HashAggregate" => "Hashed",
                "GroupAggregate" => "Sorted",
                _ => "Plain",
            };
            plan.insert("Node Type".into(), json!("Aggregate"));
            plan.insert("Strategy".into(), json!(strategy));
            plan.insert("Partial Mode".into(), json!(mode));
        }
        (false, None) => {
            plan.insert("Node Type".into(), json!(operator));
            if operator.ends_with("Join") || operator == "Nested Loop" {
                plan.insert("Join Type".into(), json!("Inner"));
            }
        }
    }
    if let Some(index) = index {
        plan.insert("Index Name".into(), json!(index));
    }
    if let Some(target) = target {
        let (relation, alias) = target.split_once(' ').unwrap_or((target, target));
        let name = if operator == "Function Scan" { "Function Name" } else { "Relation Name" };
        plan.insert(name.into(), json!(relation));
        plan.insert("Alias".into(), json!(alias));
    }
}

fn document(lines: &[String]) -> Value {
    Value::Array(vec![read(lines).document()])
}

/// What PostgreSQL tells first of an operator, and what last.
const FIRST: [&str; 24] = [
    "Plan",
    "Node Type",
    "Job Type",
    "Operation",
    "Strategy",
    "Partial Mode",
    "Parent Relationship",
    "Custom Plan Provider",
    "Parallel Aware",
    "Async Capable",
    "Join Type",
    "Index Name",
    "Relation Name",
    "Function Name",
    "Alias",
    "Actual Startup Time",
    "Actual Total Time",
    "Actual Rows",
    "Actual Loops",
    "Output",
    "Task Count",
    "Tuple data received from nodes",
    "Tuple data sent to nodes",
    "Tasks Shown",
];
const LAST: [&str; 8] = [
    "Dependent Jobs",
    "Tasks",
    "Remote Plan",
    "Distributed Query",
    "Plans",
    "Planning Time",
    "Execution Time",
    "Total Runtime",
];

/// Fields in the order in which they are told.
fn ordered(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let place = |of: &[&str], name: &str| of.iter().position(|known| *known == name);
    let rank = |name: &str| match (place(&FIRST, name), place(&LAST, name)) {
        (Some(first), _) => first,
        (None, Some(last)) => FIRST.len() + 1 + last,
        (None, None) => FIRST.len(),
    };
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| rank(name));
    fields
}

pub fn json(lines: &[String]) -> String {
    let mut text = String::new();
    put_json(&document(lines), 0, &mut text);
    text
}

fn put_json(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth + 1);
    let is_scalar = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_));
    match value {
        Value::Array(items) if items.iter().all(is_scalar) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            text.push_str(&format!("[{}]", items.join(", ")));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let before = if at == 0 { "[" } else { "," };
                text.push_str(&format!("{before}\n{indent}"));
                put_json(item, depth + 1, text);
            }
            text.push_str(&format!("\n{}]", "  ".repeat(depth)));
        }
        Value::Object(fields) => {
            text.push('{');
            for (at, (name, value)) in ordered(fields).into_iter().enumerate() {
                let before = if at == 0 { "" } else { "," };
                let name = Value::from(name.as_str());
                text.push_str(&format!("{before}\n{indent}{name}: "));
                put_json(value, depth + 1, text);
            }
            text.push_str(&format!("\n{}}}", "  ".repeat(depth)));
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

pub fn yaml(lines: &[String]) -> String {
    let mut text = String::new();
    put_yaml(&document(lines), 0, &mut text);
    text.trim_matches('\n').to_owned()
}

fn put_yaml(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(_) | Value::Array(_) => {
                        let mut inner = String::new();
                        put_yaml(item, depth + 1, &mut inner);
                        let inner = inner.trim_start_matches('\n').trim_start();
                        text.push_str(&format!("\n{indent}- {inner}"));
                    }
                    scalar => text.push_str(&format!("\n{indent}- {scalar}")),
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in ordered(fields) {
                text.push_str(&format!("\n{indent}{name}:"));
                match value {
                    Value::Object(_) | Value::Array(_) => put_yaml(value, depth + 1, text),
                    scalar => text.push_str(&format!(" {scalar}")),
                }
            }
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

pub fn xml(lines: &[String]) -> String {
    let mut text = String::from("<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n");
    if let Value::Array(queries) = document(lines) {
        for query in &queries {
            text.push_str("  <Query>\n");
            put_xml(query, 2, &mut text);
            text.push_str("  </Query>\n");
        }
    }
    text + "</explain>"
}

fn put_xml(value: &Value, depth: usize, text: &mut String) {
    let Value::Object(fields) = value else { return };
    for (name, value) in ordered(fields) {
        put_xml_element(&name.replace(' ', "-"), value, depth, text);
    }
}

fn put_xml_element(name: &str, value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(_) => {
            text.push_str(&format!("{indent}<{name}>\n"));
            put_xml(value, depth + 1, text);
            text.push_str(&format!("{indent}</{name}>\n"));
        }
        Value::Array(items) => {
            text.push_str(&format!("{indent}<{name}>\n"));
            let item_name = if name == "Plans" { "Plan" } else { "Item" };
            for item in items {
                put_xml_element(item_name, item, depth + 1, text);
            }
            text.push_str(&format!("{indent}</{name}>\n"));
        }
        scalar => {
            let scalar = match scalar {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let scalar = scalar.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.push_str(&format!("{indent}<{name}>{scalar}</{name}>\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        [
            "HashAggregate",
            "  Group Key: a, b",
            "  ->  Custom Scan (Citus Adaptive)",
            "        Task Count: 32",
            "        Tasks Shown: One of 32",
            "        ->  Task",
            "              Node: host=h port=1 dbname=d",
            "              ->  Sort (actual time=0.3..0.4 rows=3 loops=1)",
            "                    Sort Key: f(a, b), (c || ','::text) DESC",
            "                    Sort Method: external merge  Disk: 12kB",
            "                    ->  Seq Scan on t_102008 t (actual time=0.1..0.2 rows=3 loops=1)",
            "                          Filter: (a < 5)",
            "                  Execution Time: 0.5 ms",
            "        ->  Broadcast",
            "              Way: copies",
            "              ->  Hash (never executed)",
            "                    Batches: 2  Memory Usage: 3kB  Disk Usage: 4kB",
            "Execution Time: 1.5 ms",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn the_tree_is_read_from_its_indentation() {
        let document = document(&lines());
        let plan = &document[0]["Plan"];
        assert_eq!(plan["Node Type"], "Aggregate");
        assert_eq!(plan["Group Key"], json!(["a", "b"]));
        let scan = &plan["Plans"][0];
        assert_eq!(scan["Custom Plan Provider"], "Citus Adaptive");
        let job = &scan["Distributed Query"]["Job"];
        assert_eq!(job["Task Count"], 32);
        let task = &job["Tasks"][0];
        assert_eq!(task["Node"], "host=h port=1 dbname=d");
        assert_eq!(job["Tasks"].as_array().map(Vec::len), Some(1));
        let remote = &task["Remote Plan"][0][0];
        assert_eq!(remote["Execution Time"], 0.5);
        let sort = &remote["Plan"];
        assert_eq!(sort["Sort Key"], json!(["f(a, b)", "(c || ','::text) DESC"]));
        assert_eq!(sort["Sort Method"], "external merge");
        assert_eq!(sort["Sort Space Used"], 12);
        assert_eq!(sort["Sort Space Type"], "Disk");
        let input = &job["Dependent Jobs"][0];
        assert_eq!((&input["Job Type"], &input["Way"]), (&json!("Broadcast"), &json!("copies")));
        let hash = &input["Plans"][0];
        assert_eq!(hash["Actual Loops"], 0);
        assert_eq!(hash["Hash Batches"], 2);
        assert_eq!(hash["Peak Memory Usage"], 3);
        assert_eq!(hash["Disk Usage"], 4);
        let remote = &sort["Plans"][0];
        assert_eq!(remote["Relation Name"], "t_102008");
        assert_eq!(remote["Alias"], "t");
        assert_eq!(remote["Actual Rows"], 3);
        assert_eq!(remote["Filter"], "(a < 5)");
        assert_eq!(document[0]["Execution Time"], 1.5);
    }

    #[test]
    fn json_is_told_in_the_order_of_postgresql() {
        let text = json(&lines());
        let start = "[\n  {\n    \"Plan\": {\n      \"Node Type\": \"Aggregate\",\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\"Group Key\": [\"a\", \"b\"],\n"), "{text}");
        assert!(text.ends_with("\"Execution Time\": 1.5\n  }\n]"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(document(&lines())));
    }

    #[test]
    fn other_formats_say_the_same() {
        let yaml = yaml(&lines());
        assert!(yaml.starts_with("- Plan:\n    Node Type: \"Aggregate\"\n"), "{yaml}");
        assert!(yaml.contains("Node Type: \"Seq Scan\""), "{yaml}");
        let xml = xml(&lines());
        assert!(xml.contains("<Filter>(a &lt; 5)</Filter>"), "{xml}");
    }
}
