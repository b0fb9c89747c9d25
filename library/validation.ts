import { compile } from '../compiler/compile.ts';
import type { Diagnostic } from '../compiler/diagnostic.ts';
import { renderDiagnostics } from '../compiler/render.ts';
import { warningsOf } from '../compiler/warnings.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import { type CompiledFiles, compilePlanFiles, loadPlanFiles } from './plan-files.ts';

/** Whether plan files are valid. Field names are those of `validate --json`. */
export interface ValidationDocument {
  readonly valid: boolean;
  readonly files: readonly string[];
  readonly plans: readonly { readonly plan: string; readonly file: string; readonly hash: string }[];
  /** Their names. */
  readonly repositories: readonly string[];
  /** Their names. */
  readonly templates: readonly string[];
  /** Every error of every file, at its place. */
  readonly diagnostics: readonly Diagnostic[];
  /** What may surprise, of valid plans. */
  readonly warnings: readonly { readonly plan: string; readonly file: string; readonly message: string }[];
}

/** Checked plan files. */
export interface Validation {
  readonly document: ValidationDocument;
  /** The valid plans, in the order of the files. */
  readonly plans: readonly CompiledPlan[];
  readonly repositories: readonly RepositorySpec[];
  readonly templates: CompiledFiles['templates'];
  /** The errors as text, each with the lines of the file that it is about. */
  render(options?: { readonly color?: boolean }): string;
}

/** Checks plan files, or directories of them. */
export async function validateFiles(paths: readonly string[]): Promise<Validation> {
  return validationOf(await compilePlanFiles(paths));
}

/**
 * Checks the text of a plan file that is not written yet.
 *
 * @param beside a folder whose files lend it their repositories
 */
export async function validateText(text: string, beside: string): Promise<Validation> {
  const { files } = await loadPlanFiles([beside]);
  const given = { path: 'plan.yaml', text };
  const context = files.map((file) => ({ ...file, role: 'context' as const }));
  return validationOf({ ...compile([given, ...context]), files: [given], sources: [given, ...context] });
}

function validationOf({
  plans,
  repositories,
  templates,
  diagnostics,
  files,
  sources,
}: CompiledFiles): Validation {
  return {
    document: {
      valid: diagnostics.length === 0,
      files: files.map(({ path }) => path),
      plans: plans.map(({ name, file, pipeline }) => ({ plan: name, file, hash: pipeline.hash })),
      repositories: repositories.map(({ name }) => name),
      templates: templates.map(({ name }) => name),
      diagnostics,
      warnings: plans.flatMap((plan) =>
        warningsOf(plan).map((message) => ({ plan: plan.name, file: plan.file, message })),
      ),
    },
    plans,
    repositories,
    templates,
    render: ({ color = false } = {}) => renderDiagnostics(diagnostics, sources, { color }),
  };
}
