//! Whose a data directory is.

use std::path::Path;

use satsuma_common::{SqlError, SqlState};

use crate::process::Failure;

/// Who keeps data in a directory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Coordinator,
    Worker,
    /// `up`, with directories of a coordinator and workers in its own.
    Up,
}

impl Program {
    const ALL: [Self; 3] = [Self::Coordinator, Self::Worker, Self::Up];

    fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "a coordinator",
            Self::Worker => "a worker",
            Self::Up => "a cluster of satsuma up",
        }
    }

    /// Whether it has been at work here.
    pub fn was_in(self, directory: &Path) -> bool {
        match self {
            Self::Coordinator => directory.join("raft").exists(),
            Self::Worker => directory.join("FORMAT").exists(),
            Self::Up => {
                Self::Coordinator.was_in(&directory.join("coordinator"))
                    || Self::Worker.was_in(&directory.join("worker-1"))
            }
        }
    }
}

/// An error where the directory is another program's. To be called before anything is put there.
pub fn check(directory: &Path, program: Program) -> Result<(), Failure> {
    let others = Program::ALL.into_iter().filter(|other| *other != program);
    match others.into_iter().find(|other| other.was_in(directory)) {
        None => Ok(()),
        Some(other) => {
            let (directory, other) = (directory.display(), other.name());
            let message = format!("data directory \"{directory}\" belongs to {other}");
            Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .hint(format!("Give {} a directory of its own.", program.name()))
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_programs() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for program in Program::ALL {
            check(&root.join(format!("new-{program:?}")), program).unwrap();
        }
        std::fs::create_dir_all(root.join("up/coordinator/raft")).unwrap();
        std::fs::create_dir_all(root.join("w")).unwrap();
        std::fs::write(root.join("w/FORMAT"), "").unwrap();
        let owned =
            [("up", Program::Up), ("up/coordinator", Program::Coordinator), ("w", Program::Worker)];
        for (path, owner) in owned {
            for program in Program::ALL {
                let checked = check(&root.join(path), program);
                assert_eq!(checked.is_ok(), program == owner, "{path} {program:?}");
            }
        }
        let error = check(&root.join("w"), Program::Coordinator).unwrap_err().to_string();
        assert!(error.contains("belongs to a worker"), "{error}");
    }
}
