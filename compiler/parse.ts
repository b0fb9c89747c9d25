import { Composer, type ParsedNode, Parser } from 'yaml';
import { tooComplex } from './complexity.ts';
import type { LocatedProblem, Problem } from './diagnostic.ts';
import type { SourceFile, Span } from './source-text.ts';
import { firstOfEachLine, syntaxProblem } from './syntax-errors.ts';
import { MAXIMUM_EXPANDED_VALUES, TreeReader } from './tree-reader.ts';
import type { YamlDocument, YamlNode } from './yaml-tree.ts';

/** Larger files are refused unread: people write plans by hand, so a plan of a megabyte is a mistake. */
export const MAXIMUM_FILE_BYTES = 1024 * 1024;

interface ParsedFile {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly LocatedProblem[];
}

/** Turns text into trees of values with their places. Never throws. Its time and memory are bounded for any text. */
export function parse(file: SourceFile): ParsedFile {
  if (file.text.length > MAXIMUM_FILE_BYTES) return failure(fileTooLarge(file.text.length));
  const tokens = [...new Parser().parse(file.text)];
  const excess = tooComplex(tokens);
  if (excess !== undefined) return failure(excess.problem, excess.span);

  // `uniqueKeys: false`, since the library would compare every key with every other. The tree reader finds duplicates in one
  // pass.
  const composer = new Composer<ParsedNode>({ uniqueKeys: false, stringKeys: true, logLevel: 'silent' });
  const documents: YamlDocument[] = [];
  const problems: LocatedProblem[] = [];
  const budget = { values: MAXIMUM_EXPANDED_VALUES };
  for (const document of composer.compose(tokens)) {
    const faults = [...document.errors, ...document.warnings].map(syntaxProblem);
    problems.push(...firstOfEachLine(faults, file.text));
    const damaged = faults.some((fault) => fault.problem.code !== 'BAD_TAG');
    if (document.contents === null) continue;
    const reader = new TreeReader(file.text, budget);
    const root = reader.read(document.contents);
    problems.push(...reader.problems);
    if (isEmpty(root)) continue;
    documents.push({ file: file.path, root, damaged: damaged || reader.damaged });
  }
  if (documents.length === 0 && problems.length === 0) {
    return failure({
      code: 'FILE_EMPTY',
      message: 'The file holds no document',
      remedy: 'Write a `kind: BackupPlan` document into it; `holdfast init` makes one.',
    });
  }
  return { documents, problems };
}

/** The problem of a file that is larger than a plan may be. */
export function fileTooLarge(sizeBytes: number): Problem {
  return {
    code: 'FILE_TOO_LARGE',
    message: `The file has ${(sizeBytes / 1024 / 1024).toFixed(1)} MiB, and a plan file may have 1 MiB`,
    remedy: 'Check that this is a plan file; split it by plan if it is.',
  };
}

function failure(problem: Problem, span: Span = { start: 0, end: 0 }): ParsedFile {
  return { documents: [], problems: [{ problem, span }] };
}

function isEmpty(node: YamlNode): boolean {
  return node.kind === 'scalar' && node.value === null;
}
