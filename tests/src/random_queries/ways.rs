//! The ways in which a query is answered, read off its EXPLAIN.

/// A way, and whether a plan takes it.
type Way = (&'static str, fn(&[Line<'_>]) -> bool);

/// Every way that joins, aggregates and windows of the generator's queries can take.
pub const WAYS: [Way; 11] = [
    ("one task", |plan| is_task(plan) && plan.iter().any(|line| line.text == "Task Count: 1")),
    ("tasks alone", |plan| is_task(plan) && plan.iter().all(|line| line.text != "Task Count: 1")),
    ("join in tasks", |plan| plan.iter().any(|line| line.in_task && line.is_join())),
    ("join at the coordinator", |plan| plan.iter().any(|line| !line.in_task && line.is_join())),
    ("copies of a side", |plan| plan.iter().any(|line| line.text == "Broadcast")),
    ("one side by hash", |plan| hashed(plan).contains(&1)),
    ("both sides by hash", |plan| hashed(plan).iter().any(|count| *count > 1)),
    ("aggregate in tasks", |plan| plan.iter().any(|line| line.in_task && line.is_aggregate())),
    ("aggregate in two phases", |plan| {
        let outside = plan.iter().filter(|line| !line.in_task && !line.text.contains(": "));
        let nodes: Vec<_> = outside.collect();
        nodes.windows(2).any(|pair| pair[0].is_aggregate() && pair[1].is_scan())
    }),
    ("window in tasks", |plan| plan.iter().any(|line| line.in_task && line.text == "WindowAgg")),
    ("window at the coordinator", |plan| {
        plan.iter().any(|line| !line.in_task && line.text == "WindowAgg")
    }),
];

/// A line of a plan without its arrow.
#[derive(Debug)]
pub struct Line<'a> {
    depth: usize,
    text: &'a str,
    /// Part of what a worker does.
    in_task: bool,
}

impl Line<'_> {
    fn is_join(&self) -> bool {
        !self.text.contains(": ") && (self.text.ends_with("Join") || self.text == "Nested Loop")
    }

    fn is_aggregate(&self) -> bool {
        matches!(self.text, "Aggregate" | "HashAggregate")
    }

    fn is_scan(&self) -> bool {
        self.text == "Custom Scan (Citus Adaptive)"
    }
}

/// The lines of `EXPLAIN (COSTS OFF)`.
pub fn lines<'a>(plan: impl Iterator<Item = &'a str>) -> Vec<Line<'a>> {
    let mut task = None;
    plan.map(|line| {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        task = task.filter(|task| depth > *task);
        let in_task = task.is_some();
        let text = text.strip_prefix("->  ").unwrap_or(text);
        if text == "Task" {
            task = Some(depth);
        }
        Line { depth, text, in_task }
    })
    .collect()
}

/// Whether all that the coordinator does is to collect rows.
fn is_task(plan: &[Line<'_>]) -> bool {
    plan.first().is_some_and(Line::is_scan)
        && plan.iter().filter(|line| line.is_scan()).count() == 1
}

/// How many inputs by hash each task has.
fn hashed(plan: &[Line<'_>]) -> Vec<usize> {
    let tasks = plan.iter().enumerate().filter(|(_, line)| line.text == "Task");
    let inputs = tasks.map(|(at, task)| {
        let below = plan[at + 1..].iter().take_while(|line| line.depth >= task.depth);
        below.filter(|line| line.depth == task.depth && line.text == "MapMergeJob").count()
    });
    inputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_belong_to_the_task_above_them() {
        let plan = "\
HashAggregate
  Group Key: v
  ->  Custom Scan (Citus Adaptive)
        Task Count: 4
        ->  Task
              Node: host=localhost port=1 dbname=satsuma
              ->  Hash Join
                    Hash Cond: (v = v)
        ->  MapMergeJob
              Partition Key: v
              ->  Custom Scan (Citus Adaptive)
                    ->  Task
                          ->  Seq Scan on ea_1 ea
        ->  Broadcast
              ->  Custom Scan (Citus Adaptive)";
        let plan = lines(plan.lines());
        let taken: Vec<&str> =
            WAYS.iter().filter(|(_, is_taken)| is_taken(&plan)).map(|(name, _)| *name).collect();
        let expected =
            ["join in tasks", "copies of a side", "one side by hash", "aggregate in two phases"];
        assert_eq!(taken, expected);
    }
}
