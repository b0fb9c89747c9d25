import { writeDuration } from '../../compiler/duration.ts';
import { artifactName, type ExplainedPlan, type ExplainedStep } from '../../library/explained-plan.ts';
import type { Artifact } from '../../model/pipeline.ts';

interface Edge {
  readonly from: string;
  readonly to: string;
  /** The artifact that one step gives the other. Empty where it only waits for the other. */
  readonly label: string;
}

/** The pipeline as a Mermaid flowchart, for Markdown. */
export function drawMermaid({ steps }: ExplainedPlan): string {
  const key = keysOf(steps);
  const nodes = steps.map((step) => `  ${key(step.step)}["${labelOf(step).join('<br/>')}"]`);
  const edges = edgesOf(steps).map(
    ({ from, to, label }) => `  ${key(from)} -->${label === '' ? '' : `|${label}|`} ${key(to)}`,
  );
  const styles = steps
    .filter(({ when }) => when !== 'success')
    .map(({ step }) => `  style ${key(step)} stroke-dasharray: 4`);
  return ['flowchart LR', ...nodes, ...edges, ...styles].join('\n');
}

/** The pipeline for Graphviz. */
export function drawDot({ plan, steps }: ExplainedPlan): string {
  const nodes = steps.map((step) => {
    const style = step.when === 'success' ? '' : ', style=dashed';
    return `  "${step.step}" [label="${labelOf(step).join('\\n')}"${style}];`;
  });
  const edges = edgesOf(steps).map(
    ({ from, to, label }) => `  "${from}" -> "${to}"${label === '' ? '' : ` [label="${label}"]`};`,
  );
  return [`digraph "${plan}" {`, '  rankdir=LR;', '  node [shape=box];', ...nodes, ...edges, '}'].join('\n');
}

function labelOf({ step, queue, when, timeoutMs, parallelism }: ExplainedStep): readonly string[] {
  const atOnce = parallelism === 1 ? '' : `, ${parallelism} at once`;
  const condition = when === 'success' ? [] : [`when: ${when}`];
  return [step, `${queue}, ${writeDuration(timeoutMs)}${atOnce}`, ...condition];
}

function edgesOf(steps: readonly ExplainedStep[]): readonly Edge[] {
  return steps.flatMap(({ step, needs, inputs }) =>
    needs.map((from) => {
      const flowing = (Object.keys(inputs) as Artifact[]).filter((artifact) => inputs[artifact] === from);
      return { from, to: step, label: flowing.map(artifactName).join(', ') };
    }),
  );
}

/** Short keys, since a step may be called `end`, which is a keyword of Mermaid. */
function keysOf(steps: readonly ExplainedStep[]): (id: string) => string {
  return (id) => `s${steps.findIndex(({ step }) => step === id) + 1}`;
}
