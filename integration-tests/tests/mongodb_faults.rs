//! What happens to a store on MongoDB when its server is killed, frozen, restarted, or not what it should be.

fn main() {}
