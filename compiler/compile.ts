import { deepFreeze } from '../model/canonical-json.ts';
import { defined } from '../model/defined.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import { type Diagnostic, type LocatedProblem, quoted, withoutControls } from './diagnostic.ts';
import { emitPlan, emitRepository } from './emit.ts';
import { type DocumentOutline, outline, type StepOutline } from './outline.ts';
import { parse } from './parse.ts';
import {
  copyInTheClear,
  copyToItself,
  duplicateNames,
  lookUp,
  type RepositoryEntry,
  type RepositoryIndex,
} from './resolve.ts';
import type { PlanDocument } from './schema/documents.ts';
import type { RepositoryDocument } from './schema/repository.ts';
import { BARE_VERBS, STEPS_AT_MOST } from './schema/steps.ts';
import { findSecrets } from './secrets.ts';
import { LineIndex, type SourceFile } from './source-text.ts';
import { checkSteps, type PlacedStep } from './step-graph.ts';
import {
  expand,
  faultsOfPart,
  placeOf,
  readTemplate,
  type Template,
  type TemplateIndex,
} from './templates.ts';
import { type Validation, validate } from './validate.ts';

/** The result of compiling plan files. */
export interface Compilation {
  /** The valid plans, in the order of the files. */
  readonly plans: readonly CompiledPlan[];
  readonly repositories: readonly RepositorySpec[];
  /** Names of the valid templates. */
  readonly templates: readonly { readonly name: string; readonly file: string }[];
  /** Every error of every checked file, by file and position. */
  readonly diagnostics: readonly Diagnostic[];
}

interface ParsedDocument {
  readonly source: SourceFile;
  readonly outline: DocumentOutline;
}

/** A document on its way through the compiler, with the problems found so far. */
interface Unit extends ParsedDocument {
  readonly problems: LocatedProblem[];
  /** The template that the plan is made of. */
  readonly template?: Template;
  readonly plan?: PlanDocument;
  readonly repository?: RepositoryDocument;
}

/**
 * Compiles plan files: parse, validate, resolve, type-check, emit. Pure and deterministic: the same texts give the same
 * frozen result. An error in any text is a diagnostic, never an exception.
 */
export function compile(files: readonly SourceFile[]): Compilation {
  const { parsed, ofFiles, templates } = read(files);
  const units = parsed.map((each) => unitOf(each, templates));
  const checked = units.filter(isChecked);

  for (const { outline, found } of duplicateNames(checked.map((unit) => unit.outline))) {
    checked.find((unit) => unit.outline === outline)?.problems.push(found);
  }
  const index: RepositoryIndex = { entries: units.flatMap(repositoryEntry), complete: templates.complete };
  const plans = checked.flatMap((unit) => compilePlan(unit, index) ?? []);

  const located = [
    ...ofFiles.filter(isChecked),
    ...units.filter(isChecked).flatMap((unit) => unit.problems.map((found) => placed(unit, found))),
  ];
  return deepFreeze({
    // An error of syntax may hide a part of a plan, and the tree doesn't show which part. So no plan of that file is valid.
    plans: plans.filter((plan) => !ofFiles.some((each) => isChecked(each) && each.source.path === plan.file)),
    repositories: index.entries.flatMap(({ repository, role }) =>
      repository === undefined || role === 'context' ? [] : repository,
    ),
    templates: templates.templates
      .filter((each) => each.content !== undefined && isChecked(each))
      .map(({ name, source }) => ({ name, file: source.path })),
    diagnostics: files.flatMap((file) => diagnosticsOf(file, located)),
  });
}

/** What all files hold, before any document is checked but the templates. */
interface ReadFiles {
  readonly parsed: readonly ParsedDocument[];
  /** Errors of files that stand in no document. */
  readonly ofFiles: readonly { readonly source: SourceFile; readonly found: LocatedProblem }[];
  readonly templates: TemplateIndex;
}

/** Parses files and finds the templates among their documents. */
export function read(files: readonly SourceFile[]): ReadFiles {
  const ofFiles: { readonly source: SourceFile; readonly found: LocatedProblem }[] = [];
  const parsed: ParsedDocument[] = [];
  for (const source of files) {
    const { documents, problems } = parse(source);
    ofFiles.push(...problems.map((found) => ({ source, found })));
    parsed.push(...documents.map((document) => ({ source, outline: outline(document) })));
  }
  const damaged = new Set(ofFiles.map(({ source }) => source));
  return {
    parsed,
    ofFiles,
    templates: {
      templates: parsed.flatMap((each) => templateOf(each, damaged)),
      complete: !ofFiles.some(isChecked) && parsed.filter(isChecked).every(hasItsName),
    },
  };
}

function isChecked({ source }: { readonly source: SourceFile }): boolean {
  return source.role !== 'context';
}

/** The template of a document. What a file with errors of syntax holds may not be all that its author wrote. */
function templateOf(
  { source, outline }: ParsedDocument,
  damaged: ReadonlySet<SourceFile>,
): readonly Template[] {
  const { kind, name, document } = outline;
  if (kind !== 'PlanTemplate' || name === undefined) return [];
  const { content } = readTemplate(document.root);
  const isUsable = content !== undefined && !damaged.has(source) && findSecrets(document.root).length === 0;
  return [{ name: name.text, source, ...(isUsable ? { content } : {}) }];
}

function unitOf({ source, outline: own }: ParsedDocument, templates: TemplateIndex): Unit {
  if (own.document.damaged) {
    return { source, outline: own, problems: [...findSecrets(own.document.root)] };
  }
  const { outline, problems: ofTemplate, template, isWhole } = expand(own, source, templates);
  const { root } = outline.document;
  const secrets = findSecrets(root);
  const validation: Validation = isWhole ? check(outline) : { problems: faultsOfPart(root) };
  // A secret in the place of a reference also has the wrong type. Only the secret is reported, since it matters more.
  const others = [...ofTemplate, ...validation.problems].filter(
    ({ span }) => !secrets.some((secret) => secret.span.start === span.start && secret.span.end === span.end),
  );
  const unit = { source, outline, problems: [...secrets, ...others], ...defined({ template }) };
  const { document } = validation;
  if (document?.kind === 'BackupPlan') return { ...unit, plan: document };
  return document?.kind === 'Repository' ? { ...unit, repository: document } : unit;
}

function check({ kind, document: { root } }: DocumentOutline): Validation {
  const faults = kind === 'PlanTemplate' ? readTemplate(root).problems : [];
  return faults.length > 0 ? { problems: faults } : validate(root);
}

/** Where an error stands. One that a plan has only together with its template says which plan that is. */
function placed(
  { source: own, outline, template }: Unit,
  { problem, span }: LocatedProblem,
): { readonly source: SourceFile; readonly found: LocatedProblem } {
  const place = placeOf(span, own, template);
  const isOwn = span.start === place.span.start;
  const message = isOwn
    ? problem.message
    : `${problem.message} (in plan ${quoted(outline.name?.text ?? '')})`;
  return { source: place.source, found: { problem: { ...problem, message }, span: place.span } };
}

/** False for a document that may be a repository or a template whose name can't be read. */
function hasItsName({ outline: { kind, name } }: ParsedDocument): boolean {
  return kind !== undefined && ((kind !== 'Repository' && kind !== 'PlanTemplate') || name !== undefined);
}

function repositoryEntry({ outline, source, repository, problems }: Unit): readonly RepositoryEntry[] {
  if (outline.kind !== 'Repository' || outline.name === undefined) return [];
  const entry = { name: outline.name.text, file: source.path, role: source.role ?? 'checked' };
  if (repository === undefined || problems.length > 0) return [entry];
  return [{ ...entry, repository: emitRepository(repository) }];
}

/** The steps that the schema inserts where a plan has no `steps`. */
const STANDARD_OUTLINE: readonly StepOutline[] = BARE_VERBS.map((verb) => ({
  span: { start: 0, end: 0 },
  verb,
  when: 'success',
}));

/** The plan of a unit. Undefined where it has errors, which are then in `unit.problems`. */
function compilePlan(unit: Unit, index: RepositoryIndex): CompiledPlan | undefined {
  const { outline, source, plan, problems } = unit;
  if (outline.kind !== 'BackupPlan' || outline.document.damaged) return undefined;
  const steps = outline.steps ?? STANDARD_OUTLINE;
  const repositories = resolveRepositories(outline, steps, index, problems);
  const placed = placeSteps(steps, problems);
  const repository = repositories.get(outline.repository?.text ?? '');
  // A repository's own errors are reported where it is defined, not here again.
  const isResolved = steps.every(({ copyTo }) => copyTo === undefined || repositories.has(copyTo.text));
  if (plan === undefined || repository === undefined || !isResolved || problems.length > 0) return undefined;
  const standard = outline.steps === undefined;
  return emitPlan({ file: source.path, document: plan, repository, repositories, steps: placed, standard });
}

function placeSteps(steps: readonly StepOutline[], problems: LocatedProblem[]): readonly PlacedStep[] {
  if (steps.length > STEPS_AT_MOST) return [];
  const graph = checkSteps(steps);
  problems.push(...graph.problems);
  return graph.steps;
}

function resolveRepositories(
  { repository }: DocumentOutline,
  steps: readonly StepOutline[],
  index: RepositoryIndex,
  problems: LocatedProblem[],
): ReadonlyMap<string, RepositorySpec> {
  const found = new Map<string, RepositorySpec>();
  const references = [repository, ...steps.map((step) => step.copyTo)];
  for (const reference of references) {
    if (reference === undefined) continue;
    const { repository: resolved, problem } = lookUp(reference, index);
    if (resolved !== undefined) found.set(reference.text, resolved);
    if (problem !== undefined) problems.push(problem);
  }
  const own = repository && found.get(repository.text);
  for (const { copyTo } of steps) {
    const to = copyTo && found.get(copyTo.text);
    if (own === undefined || copyTo === undefined || to === undefined) continue;
    const problem = copyToItself(to, own, copyTo.span) ?? copyInTheClear(to, own, copyTo.span);
    if (problem !== undefined) problems.push(problem);
  }
  return found;
}

function diagnosticsOf(
  file: SourceFile,
  located: readonly { readonly source: SourceFile; readonly found: LocatedProblem }[],
): readonly Diagnostic[] {
  const own = located.filter(({ source }) => source === file);
  if (own.length === 0) return [];
  const lines = new LineIndex(file.text);
  const diagnostics = own
    .toSorted((a, b) => a.found.span.start - b.found.span.start || a.found.span.end - b.found.span.end)
    .map(({ found: { problem, span } }): Diagnostic => {
      const from = lines.position(span.start);
      const to = lines.position(Math.max(span.end, span.start));
      return {
        code: problem.code,
        file: file.path,
        line: from.line,
        column: from.column,
        endLine: to.line,
        endColumn: to.column,
        // A message of the YAML library or of Zod may quote the file, including its control characters.
        message: withoutControls(problem.message),
        remedy: withoutControls(problem.remedy),
      };
    });
  // A value behind an anchor is checked at every alias. Its fault is reported once.
  const seen = new Set<string>();
  return diagnostics.filter((diagnostic) => {
    const key = `${diagnostic.line}:${diagnostic.column}:${diagnostic.code}:${diagnostic.message}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** The names of plans in a file, as far as they can be read. Used to find the file of a plan. */
export function planNamesIn(file: SourceFile): readonly string[] {
  return parse(file)
    .documents.map(outline)
    .flatMap(({ kind, name }) => (kind === 'BackupPlan' && name !== undefined ? [name.text] : []));
}
