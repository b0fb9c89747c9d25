import { defined } from '../model/defined.ts';
import type { Verb } from '../model/pipeline.ts';
import type { Span } from './source-text.ts';
import { VERB_NAMES } from './verbs.ts';
import { entryOf, spanOfNode, textOf, valueAt, type YamlDocument, type YamlNode } from './yaml-tree.ts';

/*
 * Reads what checks across documents and steps need, as far as it can be read, so that a fault in one place doesn't hide faults
 * in others.
 */

/** A name in a file, and where it stands. */
export interface NamedText {
  readonly text: string;
  readonly span: Span;
}

/** What is known of a step, even if it has faults. */
export interface StepOutline {
  readonly span: Span;
  /** Absent where the step names no verb, or more than one. */
  readonly verb?: Verb;
  readonly id?: NamedText;
  /** Absent where the place of the step in the list decides what it needs. */
  readonly needs?: readonly NamedText[];
  readonly when: 'success' | 'failure' | 'always';
  /** The target repository of a `copy`. */
  readonly copyTo?: NamedText;
}

/** What is known of a document, even if it has faults. */
export interface DocumentOutline {
  readonly document: YamlDocument;
  readonly kind?: string;
  readonly name?: NamedText;
  readonly repository?: NamedText;
  /** Absent where the plan has the standard pipeline, or something else than a list. */
  readonly steps?: readonly StepOutline[];
}

/** Reads as much of a document as possible, even if it has faults. */
export function outline(document: YamlDocument): DocumentOutline {
  const { root } = document;
  const kind = textOf(valueAt(root, 'kind'));
  const name = namedText(valueAt(root, 'metadata', 'name'));
  const repository = namedText(valueAt(root, 'spec', 'repository'));
  const steps = valueAt(root, 'spec', 'steps');
  return {
    document,
    ...defined({ kind, name, repository }),
    ...(steps?.kind === 'list' ? { steps: steps.items.map(outlineStep) } : {}),
  };
}

function outlineStep(node: YamlNode): StepOutline {
  const bare = VERB_NAMES.find((verb) => verb === textOf(node));
  if (bare !== undefined) return { span: node.span, verb: bare, when: 'success' };
  const verbs = VERB_NAMES.filter((verb) => entryOf(node, verb) !== undefined);
  const verb = verbs.length === 1 ? verbs[0] : undefined;
  const id = namedText(valueAt(node, 'id'));
  const needs = valueAt(node, 'needs');
  const copyTo = namedText(valueAt(node, 'copy', 'to'));
  const when = textOf(valueAt(node, 'when'));
  return {
    span: (verb === undefined ? undefined : entryOf(node, verb)?.keySpan) ?? spanOfNode(node),
    when: when === 'failure' || when === 'always' ? when : 'success',
    ...defined({ verb, id }),
    ...(needs?.kind === 'list' ? { needs: needs.items.flatMap((item) => namedText(item) ?? []) } : {}),
    ...defined({ copyTo }),
  };
}

function namedText(node: YamlNode | undefined): NamedText | undefined {
  const text = textOf(node);
  return text === undefined || node === undefined ? undefined : { text, span: node.span };
}
