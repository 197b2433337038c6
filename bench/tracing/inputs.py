"""What the workloads that are other people's programs work on: text made here, the same every time."""

import json
import random


def sql(scale):
    """A table with an index, searches and updates for sqlite3."""
    lines = ["create table t(a integer primary key, b text, c real);",
             f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {round(40000 * scale)}) "
             "insert into t select i, 'row ' || (i * 7919 % 5000), i % 97 from n;",
             "create index tb on t(b);"]
    lines += [f"select count(*), sum(c) from t where b like 'row {i}%';" for i in range(round(20 * scale) or 1)]
    lines += [f"update t set c = c + 1, b = b || 'x' where a = {i};" for i in range(1, round(12000 * scale))]
    return "\n".join(lines) + "\n"


def documents(scale):
    """An array of objects for jq."""
    return json.dumps([{"id": i, "name": f"name {i * 7919 % 1000}", "tags": [f"tag{i % k}" for k in (3, 7, 31)],
                        "at": {"x": i % 17, "y": i * 0.25}} for i in range(round(16000 * scale))])


def puzzles(scale):
    """A job shop, nonlinear arithmetic and machine arithmetic for z3."""
    return job_shop(8, 8, 70) + polynomials(round(30 * scale)) + words(round(6 * scale))


def job_shop(jobs, machines, limit):
    """Each job passes every machine in an order of its own; no machine takes two jobs at a time; all end before `limit`."""
    choose = random.Random(3)
    plan = [[(machine, choose.randint(1, 9)) for machine in choose.sample(range(machines), machines)] for _ in range(jobs)]
    lines = ["(push)"] + [f"(declare-const t{job}_{step} Int)" for job in range(jobs) for step in range(machines)]
    for job, steps in enumerate(plan):
        lines.append(f"(assert (>= t{job}_0 0))")
        lines += [f"(assert (>= t{job}_{step + 1} (+ t{job}_{step} {steps[step][1]})))" for step in range(machines - 1)]
        lines.append(f"(assert (<= (+ t{job}_{machines - 1} {steps[-1][1]}) {limit}))")
    on_machine = {}
    for job, steps in enumerate(plan):
        for step, (machine, time) in enumerate(steps):
            for other, other_time in on_machine.setdefault(machine, []):
                lines.append(f"(assert (or (>= t{job}_{step} (+ {other} {other_time})) (>= {other} (+ t{job}_{step} {time}))))")
            on_machine[machine].append((f"t{job}_{step}", time))
    return "\n".join(lines + ["(check-sat)", "(pop)"]) + "\n"


def polynomials(count):
    lines = ["(declare-const x Real) (declare-const y Real) (declare-const z Real)"]
    lines += [f"(push) (assert (and (> (+ (* x x y) (* {i} z)) {i}) (< (+ (* x y y) (* z z z)) {3 * i + 1})"
              f" (= (+ x (* 2 y) z) {i % 7}))) (check-sat) (pop)" for i in range(1, count + 1)]
    return "\n".join(lines) + "\n"


def words(count):
    lines = ["(declare-const a (_ BitVec 32)) (declare-const b (_ BitVec 32))"]
    lines += [f"(push) (assert (= (bvurem (bvmul a b) #x{i * 7919 + 13:08x}) #x{i:08x}))"
              f" (assert (bvugt (bvadd a b) #x{i * 65537:08x})) (check-sat) (pop)" for i in range(1, count + 1)]
    return "\n".join(lines) + "\n"


def history(commits):
    """A repository as git fast-import reads it: a hundred files, of which each commit changes three."""
    choose = random.Random(1)
    files = [[f"line {line} of file {number}" for line in range(120)] for number in range(100)]
    parts = []
    for commit in range(1, commits + 1):
        message = f"Change number {commit}"
        parts.append(f"commit refs/heads/main\ncommitter A Name <name@example.org> {1600000000 + commit} +0000\n"
                     f"data {len(message)}\n{message}\n")
        for number in range(100) if commit == 1 else choose.sample(range(100), 3):
            files[number][choose.randrange(120)] = f"changed {commit}"
            files[number].insert(choose.randrange(120), f"added {commit}")
            text = "\n".join(files[number]) + "\n"
            parts.append(f"M 100644 inline directory{number % 10}/file{number}\ndata {len(text)}\n{text}\n")
    return "".join(parts)
