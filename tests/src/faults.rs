//! What happens to a cluster under load: processes die and hang, nodes are cut off from each
//! other.

use std::fmt;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::Cluster;
use crate::network::Cut;

/// Something that is wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a start afterwards.
    Kill(String),
    /// SIGSTOP, and SIGCONT afterwards.
    Pause(String),
    /// What one node sends does not reach the other, for each of these pairs.
    Cut(Vec<(String, String)>, Cut),
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub kills: u32,
    pub pauses: u32,
    pub cuts: u32,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills, {} pauses, {} cuts", self.kills, self.pauses, self.cuts)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(node) => write!(f, "{node} is killed"),
            Self::Pause(node) => write!(f, "{node} is paused"),
            Self::Cut(ways, how) => {
                let ways: Vec<_> =
                    ways.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
                write!(f, "{how:?} cut {}", ways.join(", "))
            }
        }
    }
}

impl Fault {
    /// Any fault of any node.
    pub fn random(nodes: &[String], random: &mut StdRng) -> Self {
        let node = random.random_range(0..nodes.len());
        match random.random_range(0..4) {
            0 => Self::Kill(nodes[node].clone()),
            1 => Self::Pause(nodes[node].clone()),
            _ => Self::cut_off(nodes, node, random),
        }
    }

    /// The node and another one, the node and all others, or one direction between two.
    fn cut_off(nodes: &[String], node: usize, random: &mut StdRng) -> Self {
        let one = nodes[node].clone();
        let talks = |other: &&String| **other != one && !(is_worker(&one) && is_worker(other));
        let others: Vec<_> = nodes.iter().filter(talks).cloned().collect();
        let other = others[random.random_range(0..others.len())].clone();
        let how = how(random);
        match random.random_range(0..4) {
            0 => Self::Cut(both_ways(&one, &[other]), how),
            1 => Self::Cut(vec![(one, other)], one_way(how)),
            2 => Self::Cut(vec![(other, one)], one_way(how)),
            _ => Self::Cut(both_ways(&one, &others), how),
        }
    }

    /// A node among others: it dies, hangs, hears nobody, is not heard, or both.
    pub fn of_node(node: &str, others: &[String], random: &mut StdRng) -> Self {
        let how = how(random);
        match random.random_range(0..5) {
            0 => Self::Kill(node.into()),
            1 => Self::Pause(node.into()),
            2 => Self::Cut(both_ways(node, others), how),
            3 => {
                let ways = others.iter().map(|other| (node.to_owned(), other.clone()));
                Self::Cut(ways.collect(), one_way(how))
            }
            _ => {
                let ways = others.iter().map(|other| (other.clone(), node.to_owned()));
                Self::Cut(ways.collect(), one_way(how))
            }
        }
    }

    pub fn begin(&self, cluster: &mut Cluster) {
        match self {
            Self::Kill(node) => cluster.process(node).kill(),
            Self::Pause(node) => cluster.process(node).signal("STOP"),
            Self::Cut(ways, how) => {
                ways.iter().for_each(|(from, to)| cluster.network().cut_one_way(from, to, *how));
            }
        }
    }

    /// Puts right what [`Self::begin`] did.
    pub fn end(&self, cluster: &mut Cluster) {
        match self {
            Self::Kill(_) => cluster.start_all(),
            Self::Pause(node) => cluster.process(node).signal("CONT"),
            Self::Cut(..) => cluster.network().heal(),
        }
    }

    /// How long it lasts: what dies is started soon, what hangs or is cut off may take longer than
    /// others are patient.
    fn lasts(&self, random: &mut StdRng) -> Duration {
        let longest = match self {
            Self::Kill(_) => 1500,
            Self::Pause(_) => 3000,
            Self::Cut(..) => 5000,
        };
        Duration::from_millis(random.random_range(100..longest))
    }
}

impl Counts {
    pub fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill(_) => self.kills += 1,
            Fault::Pause(_) => self.pauses += 1,
            Fault::Cut(..) => self.cuts += 1,
        }
    }
}

/// Faults one after another, with quiet moments between them.
pub fn disturb(cluster: &mut Cluster, seed: u64, rounds: u64) -> Counts {
    let mut random = StdRng::seed_from_u64(seed);
    let nodes: Vec<String> = cluster.processes().iter().map(|node| node.name.clone()).collect();
    let mut counts = Counts::default();
    let started = Instant::now();
    for round in 1..=rounds {
        std::thread::sleep(Duration::from_millis(random.random_range(200..900)));
        let fault = Fault::random(&nodes, &mut random);
        let lasts = fault.lasts(&mut random);
        eprintln!("{:.1?} round {round}: {fault} for {lasts:?}", started.elapsed());
        counts.add(&fault);
        fault.begin(cluster);
        std::thread::sleep(lasts);
        fault.end(cluster);
    }
    counts
}

/// Workers do not talk to each other.
fn is_worker(node: &str) -> bool {
    node.starts_with("worker")
}

fn how(random: &mut StdRng) -> Cut {
    [Cut::Silent, Cut::Delayed, Cut::Refused][random.random_range(0..3)]
}

/// What is refused is refused both ways.
fn one_way(how: Cut) -> Cut {
    if how == Cut::Refused { Cut::Silent } else { how }
}

fn both_ways(node: &str, others: &[String]) -> Vec<(String, String)> {
    let ways = others
        .iter()
        .flat_map(|other| [(node.to_owned(), other.clone()), (other.clone(), node.to_owned())]);
    ways.collect()
}
