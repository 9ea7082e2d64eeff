mod plans;
mod protocol;
mod strays;
