mod plans;
mod protocol;
