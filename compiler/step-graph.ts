import type { Artifact, Verb } from '../model/pipeline.ts';
import { didYouMean } from './closest.ts';
import { type LocatedProblem, quoted, refused } from './diagnostic.ts';
import type { NamedText, StepOutline } from './outline.ts';
import { ARTIFACT_IN_WORDS, producerOf, VERBS } from './verbs.ts';

/** A step, with what follows from its place in the graph. */
export interface PlacedStep {
  /** Position in the plan's list. */
  readonly index: number;
  readonly id: string;
  readonly needs: readonly string[];
  readonly inputs: Readonly<Partial<Record<Artifact, string>>>;
}

interface StepGraph {
  /** Ordered so that each step comes after those that it needs. Where several could come next, the list's order decides. */
  readonly steps: readonly PlacedStep[];
  readonly problems: readonly LocatedProblem[];
}

interface Node {
  readonly index: number;
  readonly step: StepOutline;
  readonly id: string;
  /** Steps that must end before this one starts. */
  readonly needs: readonly Need[];
}

interface Need {
  readonly node: number;
  /** The place where the plan names it. Absent where the need follows from the step's place in the list. */
  readonly named?: NamedText;
}

/**
 * Type-checks a list of steps: every step must get its inputs from steps that have surely ended before it.
 *
 * A step without `needs` needs the last step before it that runs on success, and the steps in between that run in any case. A
 * step also needs each step that gives it an input, so no step runs without its input.
 */
export function checkSteps(outlines: readonly StepOutline[]): StepGraph {
  const ids = assignIds(outlines);
  const problems: LocatedProblem[] = [...duplicateIds(outlines), ...repeatedVerbs(outlines)];
  const nodes = outlines.map((step, index): Node => {
    const { needs, unknown } = resolveNeeds(step, index, outlines, ids);
    problems.push(...unknown);
    return { index, step, id: ids[index] ?? '', needs };
  });
  problems.push(...needlessWaits(nodes));

  const { order, cycles } = sort(nodes);
  problems.push(...cycles);
  // A step with an unknown verb may give the others their inputs, so nothing is known of these.
  if (outlines.some((step) => step.verb === undefined)) return { steps: [], problems };

  const ancestors = ancestorsOf(order);
  const placed = order.map((node): PlacedStep => {
    const inputs: Partial<Record<Artifact, string>> = {};
    for (const artifact of verbOf(node).consumes) {
      const producer = producerFor(artifact, node, nodes, ancestors);
      if ('problem' in producer) problems.push(producer);
      else inputs[artifact] = producer.id;
    }
    const needs = [...node.needs.map((need) => nodes[need.node]?.id ?? ''), ...Object.values(inputs)];
    return { index: node.index, id: node.id, needs: [...new Set(needs)], inputs };
  });
  problems.push(...withoutBackup(nodes));
  return { steps: cycles.length === 0 ? placed : [], problems };
}

function verbOf(node: Node) {
  return VERBS[node.step.verb ?? 'flush'];
}

/** The id that the plan gives, or the verb; the second use of a verb gets the number 2, and so on. */
function assignIds(outlines: readonly StepOutline[]): readonly string[] {
  const taken = new Set(outlines.flatMap((step) => step.id?.text ?? []));
  return outlines.map((step, index) => {
    if (step.id !== undefined) return step.id.text;
    const base = step.verb ?? `step-${index + 1}`;
    let id: string = base;
    for (let count = 2; taken.has(id); count += 1) id = `${base}-${count}`;
    taken.add(id);
    return id;
  });
}

function duplicateIds(outlines: readonly StepOutline[]): readonly LocatedProblem[] {
  const seen = new Set<string>();
  return outlines.flatMap(({ id }) => {
    if (id === undefined) return [];
    if (seen.has(id.text)) {
      return [
        {
          ...refused(
            'DUPLICATE_NAME',
            `Two steps have the id ${quoted(id.text)}`,
            'Give one of them another id.',
          ),
          span: id.span,
        },
      ];
    }
    seen.add(id.text);
    return [];
  });
}

function repeatedVerbs(outlines: readonly StepOutline[]): readonly LocatedProblem[] {
  const seen = new Set<Verb>();
  return outlines.flatMap(({ verb, span }) => {
    if (verb === undefined || !VERBS[verb].once) return [];
    if (seen.has(verb)) {
      return [
        {
          ...refused(
            'DUPLICATE_STEP',
            `\`${verb}\` stands twice, and a backup has one read point, one work list and one manifest`,
            'Remove one of them; write a second plan for a second backup.',
          ),
          span,
        },
      ];
    }
    seen.add(verb);
    return [];
  });
}

function resolveNeeds(
  step: StepOutline,
  index: number,
  outlines: readonly StepOutline[],
  ids: readonly string[],
): { readonly needs: readonly Need[]; readonly unknown: readonly LocatedProblem[] } {
  if (step.needs === undefined) return { needs: impliedNeeds(index, outlines), unknown: [] };
  const needs: Need[] = [];
  const unknown: LocatedProblem[] = [];
  for (const named of step.needs) {
    const node = ids.indexOf(named.text);
    if (node !== -1) needs.push({ node, named });
    else {
      unknown.push({
        ...refused(
          'UNKNOWN_STEP',
          `No step has the id ${quoted(named.text)}`,
          didYouMean(named.text, ids) ?? `Ids in this plan: ${ids.join(', ')}.`,
        ),
        span: named.span,
      });
    }
  }
  return { needs, unknown };
}

function impliedNeeds(index: number, outlines: readonly StepOutline[]): readonly Need[] {
  const needs: Need[] = [];
  for (let node = index - 1; node >= 0; node -= 1) {
    const { when } = outlines[node] ?? { when: 'failure' };
    if (when !== 'failure') needs.unshift({ node });
    if (when === 'success') break;
  }
  return needs;
}

/** Refuses a step of the success path that needs a step for failures, since it would never run. */
function needlessWaits(nodes: readonly Node[]): readonly LocatedProblem[] {
  return nodes.flatMap(({ step, needs }) =>
    needs.flatMap(({ node, named }) => {
      if (named === undefined || step.when !== 'success' || nodes[node]?.step.when !== 'failure') return [];
      return [
        {
          ...refused(
            'NEVER_RUNS',
            `${quoted(named.text)} runs only when something failed, and this step only when nothing did`,
            `Remove it from \`needs\`, or write \`when: failure\` or \`when: always\` for this step.`,
          ),
          span: named.span,
        },
      ];
    }),
  );
}

/** Sorts by Kahn's algorithm; the result is stable. Steps that remain are part of cycles or wait for one. */
function sort(nodes: readonly Node[]): {
  readonly order: readonly Node[];
  readonly cycles: readonly LocatedProblem[];
} {
  const order: Node[] = [];
  const done = new Set<number>();
  let waiting = [...nodes];
  for (;;) {
    const next = waiting.find((node) => node.needs.every((need) => done.has(need.node)));
    if (next === undefined) break;
    order.push(next);
    done.add(next.index);
    waiting = waiting.filter((node) => node !== next);
  }
  return { order, cycles: cyclesAmong(waiting, nodes) };
}

function cyclesAmong(waiting: readonly Node[], nodes: readonly Node[]): readonly LocatedProblem[] {
  const problems: LocatedProblem[] = [];
  const reported = new Set<number>();
  for (const start of waiting) {
    const path = pathBackTo(start, nodes);
    if (path === undefined || path.some((node) => reported.has(node.index))) continue;
    for (const node of path) reported.add(node.index);
    const named = path.flatMap((node) =>
      node.needs.filter((need) => path.some((other) => other.index === need.node)),
    );
    const span = named.find((need) => need.named !== undefined)?.named?.span ?? start.step.span;
    const words = [...path, start].map((node) => `\`${node.id}\``).join(' needs ');
    problems.push({
      ...refused(
        'NEEDS_CYCLE',
        path.length === 1 ? `\`${start.id}\` needs itself` : `These steps wait for each other: ${words}`,
        'Remove one of these from `needs`; a step without `needs` needs the one before it.',
      ),
      span,
    });
  }
  return problems;
}

/** The shortest path from a step along its needs back to itself. */
function pathBackTo(start: Node, nodes: readonly Node[]): readonly Node[] | undefined {
  const cameFrom = new Map<number, Node>();
  const queue: Node[] = [start];
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for (const need of node.needs) {
      if (need.node === start.index) {
        const path = [node];
        for (let at = cameFrom.get(node.index); at !== undefined; at = cameFrom.get(at.index))
          path.unshift(at);
        return path;
      }
      const next = nodes[need.node];
      if (next === undefined || next === start || cameFrom.has(next.index)) continue;
      cameFrom.set(next.index, node);
      queue.push(next);
    }
  }
  return undefined;
}

/** For each of the ordered steps: all steps that have ended before it starts. */
function ancestorsOf(order: readonly Node[]): ReadonlyMap<number, ReadonlySet<number>> {
  const ancestors = new Map<number, ReadonlySet<number>>();
  for (const node of order) {
    const own = new Set<number>();
    for (const need of node.needs) {
      own.add(need.node);
      for (const further of ancestors.get(need.node) ?? []) own.add(further);
    }
    ancestors.set(node.index, own);
  }
  return ancestors;
}

/** The last step in the list that surely ends before this one and gives the artifact; or why there is none. */
function producerFor(
  artifact: Artifact,
  node: Node,
  nodes: readonly Node[],
  ancestors: ReadonlyMap<number, ReadonlySet<number>>,
): { readonly id: string } | LocatedProblem {
  const verb = node.step.verb ?? '';
  const wanted = ARTIFACT_IN_WORDS[artifact];
  const giving = producerOf(artifact);
  if (node.step.when !== 'success') {
    return {
      ...refused(
        'MISSING_INPUT',
        `\`${verb}\` with \`when: ${node.step.when}\` may have no ${wanted.replace(/^a /, '')} to work on`,
        'Remove its `when`: only `flush`, `sql` and `http` can run after a failure.',
      ),
      span: node.step.span,
    };
  }
  const producers = nodes.filter(({ step }) => step.verb === giving);
  const before = producers.filter((producer) => ancestors.get(node.index)?.has(producer.index) === true);
  const usable = before.filter(({ step }) => step.when === 'success');
  const nearest = usable.at(-1);
  if (nearest !== undefined) return { id: nearest.id };
  const [elsewhere] = producers;
  if (elsewhere === undefined) {
    return {
      ...refused(
        'MISSING_INPUT',
        `\`${verb}\` needs ${wanted}, and no step gives one`,
        `Write \`- ${giving}\` in a line above it.`,
      ),
      span: node.step.span,
    };
  }
  if (before.length > 0) {
    return {
      ...refused(
        'MISSING_INPUT',
        `\`${verb}\` needs ${wanted}, and \`${elsewhere.id}\` gives one only after a failure`,
        `Remove \`when\` from \`${elsewhere.id}\`.`,
      ),
      span: node.step.span,
    };
  }
  return {
    ...refused(
      'STEP_ORDER',
      `\`${verb}\` needs ${wanted}, and \`${elsewhere.id}\`, which gives it, does not come before it`,
      node.step.needs === undefined
        ? `Move \`${elsewhere.id}\` above \`${node.id}\`.`
        : `Add \`${elsewhere.id}\` to its \`needs\`.`,
    ),
    span: node.step.span,
  };
}

function withoutBackup(nodes: readonly Node[]): readonly LocatedProblem[] {
  const [first] = nodes;
  const backsUp = nodes.some(({ step }) => step.verb !== undefined && VERBS[step.verb].produces === 'backup');
  if (first === undefined || backsUp) return [];
  return [
    {
      ...refused(
        'NO_BACKUP',
        'These steps never make a backup',
        'Add `- snapshot`, `- export` and `- upload`; or leave `steps` out for the standard pipeline.',
      ),
      span: first.step.span,
    },
  ];
}
