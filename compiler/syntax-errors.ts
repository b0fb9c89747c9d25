import type { YAMLError } from 'yaml';
import { type LocatedProblem, refused } from './diagnostic.ts';

const SYNTAX_REMEDIES: Partial<Record<YAMLError['code'], string>> = {
  BAD_DQ_ESCAPE: 'Write the backslash twice, or use single quotes, in which it has no meaning.',
  BAD_INDENT: 'Indent it by the same number of spaces as its neighbours.',
  BAD_SCALAR_START: 'Put the text in double quotes.',
  BLOCK_AS_IMPLICIT_KEY:
    'Put the text in double quotes, or start the nested mapping on a line of its own, indented.',
  BLOCK_IN_FLOW: 'Inside `{ }` and `[ ]` write values on one line, separated by commas.',
  MISSING_CHAR: 'Close the quote, bracket or brace, or add the missing `:` or `,`.',
  MULTILINE_IMPLICIT_KEY: 'Write `key: value` on one line; if this is no key, indent it under the one above.',
  UNEXPECTED_TOKEN: 'Remove it, or put the whole text in double quotes.',
};

/** An error of the YAML library, reworded as a diagnostic of Holdfast. */
export function syntaxProblem(error: YAMLError): LocatedProblem {
  const span = { start: error.pos[0], end: Math.max(error.pos[1], error.pos[0] + 1) };
  if (error.code === 'TAB_AS_INDENT' || (error.code === 'BAD_SCALAR_START' && /tab/i.test(error.message))) {
    return {
      ...refused(
        'TAB_INDENT',
        'A tab indents this line, and YAML allows only spaces there',
        'Write spaces instead.',
      ),
      span,
    };
  }
  if (error.code === 'TAG_RESOLVE_FAILED') {
    return {
      ...refused('BAD_TAG', 'Tags (`!…`) are not part of the plan language', 'Remove the tag.'),
      span,
    };
  }
  const [firstSentence = error.message] = error.message.split('\n');
  return {
    ...refused(
      'NOT_YAML',
      `This is not YAML: ${firstSentence.charAt(0).toLowerCase()}${firstSentence.slice(1)}`,
      SYNTAX_REMEDIES[error.code] ??
        'Compare with the examples in plans/; an editor with YAML support shows it.',
    ),
    span,
  };
}

/** One fault often causes several errors of syntax in its line. The first one describes it best. */
export function firstOfEachLine(faults: readonly LocatedProblem[], text: string): readonly LocatedProblem[] {
  let lastEnd = -1;
  const kept: LocatedProblem[] = [];
  for (const fault of [...faults].sort((a, b) => a.span.start - b.span.start)) {
    if (fault.span.start <= lastEnd) continue;
    kept.push(fault);
    const lineEnd = text.indexOf('\n', fault.span.start);
    lastEnd = lineEnd === -1 ? text.length : lineEnd;
  }
  return kept;
}
