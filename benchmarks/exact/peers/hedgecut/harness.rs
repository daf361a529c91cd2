// Runs HedgeCut on rows of small codes: fit, accuracy, single deletions, accuracy. Ours; calls the peer's library.
//
//   harness FILE SEED SINGLES
//
// FILE: int64 n, d, nt, m; uint8 highest code of each column; uint8 X (n × d), Xt; uint8 y, yt; int32 order (m).

extern crate hedgecut;

use hedgecut::dataset::{AttributeType, Dataset, Sample};
use hedgecut::tree::ExtremelyRandomizedTrees;
use std::convert::TryInto;
use std::time::Instant;

#[derive(Clone)]
struct Row { codes: Vec<u8>, label: bool }

impl Sample for Row {
    fn attribute_value(&self, index: u8) -> u8 { self.codes[index as usize] }
    fn true_label(&self) -> bool { self.label }
}

struct Table { n: u32, plus: u32, high: Vec<u8> }

impl Dataset for Table {
    fn num_records(&self) -> u32 { self.n }
    fn num_plus(&self) -> u32 { self.plus }
    fn num_attributes(&self) -> u8 { self.high.len() as u8 }
    fn attribute_range(&self, index: u8) -> (u8, u8) { (0, self.high[index as usize]) }
    fn attribute_type(&self, _: u8) -> AttributeType { AttributeType::Numerical }
}

fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

fn rows(bytes: &[u8], labels: &[u8], d: usize) -> Vec<Row> {
    bytes.chunks(d).zip(labels).map(|(c, l)| Row { codes: c.to_vec(), label: *l == 1 }).collect()
}

fn accuracy(model: &ExtremelyRandomizedTrees, test: &[Row]) -> f64 {
    test.iter().filter(|row| model.predict(*row) == row.label).count() as f64 / test.len() as f64
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let bytes = std::fs::read(&args[1]).unwrap();
    let (seed, singles): (u64, usize) = (args[2].parse().unwrap(), args[3].parse().unwrap());
    let head: Vec<usize> =
        bytes[..32].chunks(8).map(|c| i64::from_le_bytes(c.try_into().unwrap()) as usize).collect();
    let (n, d, nt, m) = (head[0], head[1], head[2], head[3]);
    let mut at = 32;
    let mut take = |size: usize| { at += size; &bytes[at - size..at] };
    let high = take(d).to_vec();
    let (x, xt) = (take(n * d), take(nt * d));
    let (y, yt) = (take(n), take(nt));
    let order: Vec<usize> =
        take(4 * m).chunks(4).map(|c| i32::from_le_bytes(c.try_into().unwrap()) as usize).collect();
    let (train, test) = (rows(x, y, d), rows(xt, yt, d));
    let table = Table { n: n as u32, plus: y.iter().filter(|v| **v == 1).count() as u32, high };
    let (before, c, w) = (resident(), cpu(), Instant::now());
    let mut model = ExtremelyRandomizedTrees::fit(&table, train.clone(), seed, 100, 2, 5);
    println!("fit {} {} {}", cpu() - c, w.elapsed().as_secs_f64(), resident() - before);
    println!("before {}", accuracy(&model, &test));
    print!("single");
    for row in order.iter().take(singles) {
        let start = Instant::now();
        model.forget(&train[*row]);
        print!(" {:.9}", start.elapsed().as_secs_f64());
    }
    println!();
    println!("after {}", accuracy(&model, &test));
}
