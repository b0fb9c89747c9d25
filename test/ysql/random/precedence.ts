import type { RestoreContext } from '../../../engines/engine.ts';
import { type DatabaseJob, loadOrder, restoreJob } from '../../../engines/ysql/restore/job.ts';
import { postDataWaves } from '../../../engines/ysql/restore/post-data-order.ts';
import type { DumpEntry } from '../../../engines/ysql/server/dump-script.ts';
import type { RestorePlan } from '../../../model/backup.ts';
import { query } from '../../support/sql.ts';

/*
 * pg_dump's order is the only proof of a right one. So for every two of its entries that a restore runs in the other order or at
 * once, the later one must not be able to reach the earlier one: not by the dependencies that the server's catalogs hold, nor through
 * a function whose text may reach anything.
 */

/** An entry with its place in the dump, and when a restore runs it. */
interface Step {
  readonly label: string;
  /** What others may reach. */
  readonly objects: readonly string[];
  /** Where reaching begins: what is evaluated or needed when it runs. */
  readonly roots: readonly string[];
  readonly place: number;
  readonly time: Time;
}

interface Time {
  /** 0 is the load. */
  readonly wave: number;
  readonly batch: number;
  readonly position: number;
  /** Within a task of the load, whose objects are loaded one after the other. */
  readonly inTask?: number;
  /** The table of a unit that runs as soon as that table's rows are there. */
  readonly table?: string;
}

/** Pairs that break the rule, in words. `url` is the restored database, in which everything is. */
export async function brokenPrecedences(
  context: RestoreContext,
  plan: RestorePlan,
  url: string,
): Promise<{ readonly broken: readonly string[]; readonly pairs: number }> {
  const job = await restoreJob(context);
  const [database] = job.databases;
  if (database === undefined) throw new Error('no database');
  const graph = await readGraph(url);
  const loads = await loadSteps(job, database, graph);
  const steps = [...loads, ...postDataSteps(job, database, plan, graph, loads.length)];
  const broken: string[] = [];
  let pairs = 0;
  for (const later of steps) {
    const reached = reach(graph, later.roots);
    for (const earlier of steps) {
      if (earlier.place >= later.place || endsBefore(earlier.time, later.time)) continue;
      pairs += 1;
      if (reached.everything !== undefined) {
        broken.push(`${later.label} runs with or before ${earlier.label}, and calls ${reached.everything}`);
      } else if (earlier.objects.some((object) => reached.objects.has(object))) {
        broken.push(`${later.label} runs with or before ${earlier.label}, and needs it`);
      }
    }
  }
  return { broken, pairs };
}

function endsBefore(earlier: Time, later: Time): boolean {
  const isUnit = (time: Time) => time.table !== undefined && time.wave > 0;
  if (earlier.wave === 0 && later.wave === 0) {
    const isOneTask = earlier.position === later.position;
    return earlier.batch < later.batch || (isOneTask && (earlier.inTask ?? 0) < (later.inTask ?? 0));
  }
  if (earlier.wave === later.wave) return earlier.batch === later.batch && earlier.position < later.position;
  if (earlier.wave > later.wave) return false;
  // What runs beside the load waits for its own table alone.
  return isUnit(later) ? earlier.table === later.table : true;
}

type Job = Awaited<ReturnType<typeof restoreJob>>;

async function loadSteps(job: Job, database: DatabaseJob, graph: Graph): Promise<readonly Step[]> {
  const { tasks, groups } = await loadOrder(job);
  const groupOf: number[] = groups.flatMap((size, group) => Array.from({ length: size }, () => group));
  const steps = new Map<string, Step>();
  for (const [index, objects] of tasks.entries()) {
    for (const [inTask, { table }] of objects.entries()) {
      const name = `${table.schema}.${table.table}`;
      if (steps.has(name)) continue;
      const oid = graph.relations.get(name);
      const late = new Set(database.lateChecks.map((entry) => `${entry.schema}.${entry.name}`));
      steps.set(name, {
        label: `rows of ${name}`,
        objects: oid === undefined ? [] : [oid],
        roots: (graph.onRow.get(name) ?? [])
          .filter(({ check }) => check === null || !late.has(check))
          .map(({ object }) => object),
        // Rows come in the order of names, behind pre-data and before post-data.
        place: 0,
        time: { wave: 0, batch: groupOf[index] ?? 0, position: index, inTask, table: name },
      });
    }
  }
  return [...steps.entries()]
    .sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
    .map(([, step], place) => ({ ...step, place }));
}

function postDataSteps(
  job: Job,
  database: DatabaseJob,
  plan: RestorePlan,
  graph: Graph,
  first: number,
): readonly Step[] {
  const tableWaves = new Set((plan.tableUnits ?? []).map(({ wave }) => wave));
  const times = new Map<DumpEntry, Time>();
  for (const [wave, batches] of postDataWaves(job).entries()) {
    for (const [batch, units] of batches.entries()) {
      let position = 0;
      for (const { entries, table } of units) {
        for (const entry of entries) {
          times.set(entry, {
            ...{ wave: wave + 1, batch, position: position++ },
            ...(tableWaves.has(wave) && table !== undefined ? { table } : {}),
          });
        }
      }
    }
  }
  const steps: Step[] = [];
  for (const [place, entry] of [...database.lateChecks, ...database.postData].entries()) {
    // An event trigger is created switched off, by an entry of its own that stands at the same place.
    const applied =
      entry.type === 'EVENT TRIGGER'
        ? [...times.keys()].find(({ type, start }) => type === entry.type && start === entry.start)
        : entry;
    const time = applied === undefined ? undefined : times.get(applied);
    if (time === undefined) throw new Error(`${entry.type} ${entry.name} is in no wave`);
    const own = objectsOf(entry, graph);
    // Nothing can need an event trigger, and one would fire on what is restored after it.
    if (entry.type === 'EVENT TRIGGER') continue;
    steps.push({
      label: `${entry.type} ${entry.name}`,
      objects: own,
      roots: own,
      // A late check stands in the dump before the rows, which are judged by it whenever it comes: its place is behind them.
      place: first + place,
      time,
    });
  }
  return steps;
}

function objectsOf({ type, schema, name, statements }: DumpEntry, graph: Graph): readonly string[] {
  const relation = graph.relations.get(`${schema}.${name}`);
  const tokens = statements[0]?.tokens ?? [];
  if (type.endsWith('CONSTRAINT')) {
    const constraint = tokens.findIndex(({ text }) => text === 'constraint');
    const named = tokens[constraint + 1]?.text ?? '';
    return [graph.constraints.get(`${schema}.${name}`), graph.relations.get(`${schema}.${named}`)].flatMap(
      (object) => object ?? [],
    );
  }
  if (type === 'FUNCTION' || type === 'PROCEDURE')
    return [graph.functions.get(`${schema}.${name}`) ?? []].flat();
  return relation === undefined ? [] : [relation];
}

interface Graph {
  readonly edges: ReadonlyMap<string, readonly string[]>;
  /** Functions whose text may reach anything, by object. */
  readonly open: ReadonlyMap<string, string>;
  readonly relations: ReadonlyMap<string, string>;
  readonly constraints: ReadonlyMap<string, string>;
  readonly functions: ReadonlyMap<string, string>;
  /** What is evaluated when a row comes in, by table. */
  readonly onRow: ReadonlyMap<string, readonly { readonly object: string; readonly check: string | null }[]>;
}

function reach(graph: Graph, roots: readonly string[]) {
  const objects = new Set<string>();
  const todo = [...roots];
  for (let object = todo.pop(); object !== undefined; object = todo.pop()) {
    if (objects.has(object)) continue;
    objects.add(object);
    const text = graph.open.get(object);
    if (text !== undefined) return { objects, everything: text };
    todo.push(...(graph.edges.get(object) ?? []));
  }
  for (const root of roots) objects.delete(root);
  return { objects, everything: undefined };
}

async function readGraph(url: string): Promise<Graph> {
  const edges = new Map<string, string[]>();
  const rows = await query(
    url,
    `SELECT classid || '/' || objid AS from, refclassid || '/' || refobjid AS to FROM pg_depend d WHERE objid >= 16384 AND deptype <> 'e'
       -- That a table has a parent or a type makes nobody read the parent's rows.
       AND NOT (classid = 'pg_class'::regclass AND refclassid <> 'pg_proc'::regclass
         AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relkind IN ('r', 'p')))
     -- A view's query is its rule's.
     UNION ALL SELECT 'pg_class'::regclass::oid || '/' || ev_class, 'pg_rewrite'::regclass::oid || '/' || oid FROM pg_rewrite WHERE ev_class >= 16384
`,
  );
  for (const { from, to } of rows) {
    const known = edges.get(String(from)) ?? [];
    known.push(String(to));
    edges.set(String(from), known);
  }
  const mapped = async (text: string) =>
    new Map((await query(url, text)).map(({ name, object }) => [String(name), String(object)]));
  const onRow = new Map<string, { object: string; check: string | null }[]>();
  for (const { table, object, check } of await query(
    url,
    `SELECT n.nspname || '.' || c.relname AS "table", 'pg_attrdef'::regclass::oid || '/' || d.oid AS object, NULL AS check
     FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
       JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     UNION ALL SELECT n.nspname || '.' || c.relname, 'pg_constraint'::regclass::oid || '/' || k.oid, n.nspname || '.' || c.relname || ' ' || k.conname
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'c' AND k.convalidated AND k.oid >= 16384
     -- A domain, or an array of it, is read with its checks.
     UNION ALL SELECT n.nspname || '.' || c.relname, 'pg_constraint'::regclass::oid || '/' || k.oid, tn.nspname || '.' || t.typname || ' ' || k.conname
     FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
       JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
       JOIN pg_namespace n ON n.oid = c.relnamespace
     -- A row is judged by the bounds of its partition.
     UNION ALL SELECT n.nspname || '.' || c.relname, 'pg_class'::regclass::oid || '/' || i.inhparent, NULL
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition JOIN pg_namespace n ON n.oid = c.relnamespace`,
  )) {
    const known = onRow.get(String(table)) ?? [];
    known.push({ object: String(object), check: check === null ? null : String(check) });
    onRow.set(String(table), known);
  }
  return {
    edges,
    onRow,
    open: await mapped(
      `SELECT 'pg_proc'::regclass::oid || '/' || oid AS name, oid::regprocedure::text AS object FROM pg_proc
       WHERE oid >= 16384 AND prosqlbody IS NULL`,
    ),
    relations: await mapped(
      `SELECT n.nspname || '.' || relname AS name, 'pg_class'::regclass::oid || '/' || c.oid AS object
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid >= 16384`,
    ),
    constraints: await mapped(
      `SELECT n.nspname || '.' || relname || ' ' || conname AS name, 'pg_constraint'::regclass::oid || '/' || k.oid AS object
       FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE k.oid >= 16384`,
    ),
    functions: await mapped(
      `SELECT n.nspname || '.' || proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name,
         'pg_proc'::regclass::oid || '/' || p.oid AS object
       FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE p.oid >= 16384`,
    ),
  };
}
