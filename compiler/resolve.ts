import { canonicalJson } from '../model/canonical-json.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { didYouMean } from './closest.ts';
import { type LocatedProblem, quoted, refused } from './diagnostic.ts';
import type { DocumentOutline, NamedText } from './outline.ts';

/** A Repository document in one of the files. Compiled if it is valid. */
export interface RepositoryEntry {
  readonly name: string;
  readonly file: string;
  readonly role: 'checked' | 'context';
  /** Absent where the document has errors. */
  readonly repository?: RepositorySpec;
}

/** Where plans find repositories by name. */
export interface RepositoryIndex {
  readonly entries: readonly RepositoryEntry[];
  /** False when the name of some document can't be read. A missing repository may be that document. */
  readonly complete: boolean;
}

/** The repository under a name, or why there is none. Neither, where another diagnostic already says why. */
type Lookup = { readonly repository?: RepositorySpec; readonly problem?: LocatedProblem };

/** Finds a repository. Checked files come before files that only lend their repositories. */
export function lookUp(reference: NamedText, index: RepositoryIndex): Lookup {
  const named = index.entries.filter(({ name }) => name === reference.text);
  const entry = named.find(({ role }) => role === 'checked') ?? named[0];
  if (entry?.repository !== undefined) return { repository: entry.repository };
  if (entry?.role === 'context') {
    return {
      problem: {
        ...refused(
          'BROKEN_REPOSITORY',
          `The repository ${quoted(entry.name)} in ${entry.file} has errors`,
          `See them with \`holdfast validate ${entry.file}\`.`,
        ),
        span: reference.span,
      },
    };
  }
  if (entry !== undefined || !index.complete) return {};
  const names = index.entries.map(({ name }) => name);
  const known =
    names.length === 0 ? 'No Repository document was given' : `Known: ${[...new Set(names)].join(', ')}`;
  return {
    problem: {
      ...refused(
        'UNKNOWN_REPOSITORY',
        `No Repository document has the name ${quoted(reference.text)}`,
        didYouMean(reference.text, names) ??
          `${known}. Add \`kind: Repository\` with \`metadata: { name: ${reference.text.slice(0, 63)} }\`, or give the file that has it too.`,
      ),
      span: reference.span,
    },
  };
}

/** Refuses a copy to the repository that already holds the backup. */
export function copyToItself(
  to: RepositorySpec,
  own: RepositorySpec,
  span: NamedText['span'],
): LocatedProblem | undefined {
  if (canonicalJson(to.location) !== canonicalJson(own.location)) return undefined;
  return {
    ...refused(
      'COPY_TO_ITSELF',
      `${quoted(to.name)} is the repository that the backup is in already`,
      'Name a second repository that stands elsewhere.',
    ),
    span,
  };
}

/** Refuses to copy a backup from an encrypted repository into one that is not encrypted. */
export function copyInTheClear(
  to: RepositorySpec,
  own: RepositorySpec,
  span: NamedText['span'],
): LocatedProblem | undefined {
  if (own.encryption === undefined || to.encryption !== undefined) return undefined;
  return {
    ...refused(
      'COPY_IN_THE_CLEAR',
      `${quoted(to.name)} is not encrypted, and ${quoted(own.name)}, where the backup is, is`,
      `Give ${quoted(to.name)} \`encryption\` too, with recipients of its own or the same.`,
    ),
    span,
  };
}

/** Documents of one kind with the same name. The later one gets the error. */
export function duplicateNames(
  outlines: readonly DocumentOutline[],
): readonly { readonly outline: DocumentOutline; readonly found: LocatedProblem }[] {
  const first = new Map<string, DocumentOutline>();
  return outlines.flatMap((outline) => {
    const { kind, name } = outline;
    if (kind === undefined || name === undefined) return [];
    const key = `${kind}/${name.text}`;
    const earlier = first.get(key);
    if (earlier === undefined) {
      first.set(key, outline);
      return [];
    }
    const problem = refused(
      'DUPLICATE_NAME',
      `Another ${kind} in ${earlier.document.file} has the name ${quoted(name.text)}`,
      'Give one of them another name.',
    );
    return [{ outline, found: { ...problem, span: name.span } }];
  });
}
