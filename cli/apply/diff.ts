import type { CompiledPlan } from '../../model/pipeline.ts';

/** The differences between two states of a plan, field by field. Pure. Field names are those of `apply --json`. */

/** One field that differs between two states of a plan. */
export interface FieldChange {
  /** Path in the compiled plan, or the schedule: `retention.keepDaily`, `steps.upload.parallelism`. */
  readonly field: string;
  /** Null: the field is new. */
  readonly from: unknown;
  /** Null: the field is removed. */
  readonly to: unknown;
}

/** Parts of a compiled plan that aren't compared: they name its origin, or follow from the rest. */
const DERIVED = new Set(['file', 'pipeline.hash', 'pipeline.plan', 'pipeline.formatVersion']);

/** The differences of two plans. Compares steps by id, so that a moved or added step doesn't make all later ones differ. */
export function planChanges(
  from: CompiledPlan | undefined,
  to: CompiledPlan | undefined,
): readonly FieldChange[] {
  const [before, after] = [leavesOf(from), leavesOf(to)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((field) => before.get(field) !== after.get(field))
    .map((field) => ({
      field: field.replace(/^pipeline\./, ''),
      from: parsed(before.get(field)),
      to: parsed(after.get(field)),
    }));
}

/** Ids of the steps that are added, removed or changed. */
export function changedSteps(changes: readonly FieldChange[]): readonly string[] {
  return [...new Set(changes.flatMap(({ field }) => /^steps\.([^.]+)/.exec(field)?.[1] ?? []))];
}

function leavesOf(plan: CompiledPlan | undefined): ReadonlyMap<string, string> {
  const leaves = new Map<string, string>();
  if (plan === undefined) return leaves;
  const { steps, ...pipeline } = plan.pipeline;
  const stepsById = Object.fromEntries(steps.map(({ id, ...step }) => [id, step]));
  collect({ ...plan, pipeline: { ...pipeline, steps: stepsById } }, '', leaves);
  leaves.set('pipeline.steps', JSON.stringify(steps.map(({ id }) => id)));
  return leaves;
}

function collect(value: unknown, path: string, into: Map<string, string>): void {
  if (DERIVED.has(path) || value === undefined) return;
  const isTree = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isTree) {
    into.set(path, JSON.stringify(value));
    return;
  }
  for (const [name, inner] of Object.entries(value))
    collect(inner, path === '' ? name : `${path}.${name}`, into);
}

function parsed(text: string | undefined): unknown {
  return text === undefined ? null : JSON.parse(text);
}
