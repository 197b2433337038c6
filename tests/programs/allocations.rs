use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::cell::RefCell;
use std::fmt::Write;
static LONG: &str = "a text that is long enough to be worth a block of its own";
fn keep<T>(value: T) { std::mem::forget(std::hint::black_box(value)); }
#[derive(Clone)] struct Big { _bytes: [u64; 40] }
fn main() {
    let argument = std::env::args().next().unwrap(); // MAYBE
    let n = argument.len();
    keep(Box::new([n; 100])); // HERE
    keep(vec![n; 100]); // HERE
    keep(String::from(LONG)); // HERE
    keep(LONG.to_string()); // HERE
    keep(LONG.to_owned()); // HERE
    keep(format!("{} {}", LONG, n)); // HERE
    keep(format!("{:?}", vec![Some(LONG); 20])); // HERE
    keep(LONG.repeat(n)); // HERE
    keep(LONG.to_uppercase()); // HERE
    keep(LONG.replace("a", "bbb")); // HERE
    keep([LONG, LONG].join("-")); // HERE
    keep([LONG, LONG].concat()); // HERE
    keep(LONG.split(' ').collect::<Vec<_>>()); // HERE
    keep((0..n).map(|i| i * 2).collect::<Vec<_>>()); // HERE
    keep((0..n).map(|i| i.to_string()).collect::<Vec<_>>()); // HERE
    keep((0..n).map(|i| (i, i)).collect::<HashMap<_, _>>()); // HERE
    keep((0..n).collect::<HashSet<_>>()); // HERE
    keep((0..n).map(|i| (i, i)).collect::<BTreeMap<_, _>>()); // HERE
    keep((0..n).collect::<BTreeSet<_>>()); // HERE
    keep((0..n).collect::<VecDeque<_>>()); // HERE
    keep((0..n).collect::<BinaryHeap<_>>()); // HERE
    keep((0..n).collect::<LinkedList<_>>()); // HERE
    keep(Rc::new(Big { _bytes: [0; 40] })); // HERE
    keep(Arc::new(Mutex::new(n))); // HERE
    keep(Rc::new(RefCell::new(vec![n]))); // HERE
    keep(Arc::<str>::from(LONG)); // HERE
    let mut vector = Vec::new();
    for i in 0..n { vector.push(i); }
    keep(vector.clone()); // HERE
    vector.extend(0..1000); // HERE
    keep(vector);
    let mut map = HashMap::new();
    map.insert(n, LONG); // HERE
    *map.entry(n + 1).or_insert(LONG) = "x";
    keep(map);
    let mut text = String::new();
    text.push_str(LONG);
    write!(text, "{} {} {}", LONG, LONG, LONG).unwrap(); // HERE
    keep(text);
    let mut text = String::new();
    text += LONG; // HERE
    keep(text);
    keep(Box::new(Big { _bytes: [1; 40] }) as Box<dyn std::any::Any>); // HERE
    keep(std::path::PathBuf::from("/some/directory/somewhere").join("a file in it")); // HERE
    keep(std::ffi::CString::new(LONG).unwrap()); // HERE
    keep(std::fs::read_to_string("/proc/self/status").unwrap()); // HERE
    keep(std::fs::read("/proc/self/status").unwrap()); // HERE
    keep(std::env::var("PATH").unwrap()); // HERE
    keep(String::from_utf8_lossy(b"bad \xff bytes").into_owned()); // HERE
    keep(vec![Big { _bytes: [0; 40] }; 3].into_boxed_slice()); // HERE
    keep(vec![vec![n; 3]; 3]); // HERE
    keep(Some(LONG).map(|t| t.to_string()).unwrap()); // HERE
    keep(LONG.chars().rev().collect::<String>()); // HERE
    keep(LONG.bytes().filter(|b| *b != b' ').collect::<Vec<u8>>()); // HERE
    std::process::abort();
}
