import type { SourceFile } from '../../compiler/source-text.ts';

/** A text in which «…» marks what an error is to underline. */
export interface MarkedText {
  readonly text: string;
  /** The marked spans: 1-based line and column, and the text between. */
  readonly marks: readonly { readonly line: number; readonly column: number; readonly text: string }[];
}

export function unmark(marked: string): MarkedText {
  const marks: { line: number; column: number; text: string }[] = [];
  let text = '';
  for (const [index, piece] of marked.split(/[«»]/).entries()) {
    if (index % 2 === 1) {
      const lines = text.split('\n');
      marks.push({ line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1, text: piece });
    }
    text += piece;
  }
  return { text, marks };
}

export const REPOSITORY = `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: /mnt/backups }
---
`;

/** A plan file that is valid but for what is given: lines of its spec replace or follow the usual ones. */
export function planFile(spec: string, head = 'metadata: { name: orders }'): string {
  const has = (key: string): boolean => new RegExp(`^ {2}«?${key}»?:`, 'm').test(spec);
  const source = has('source') ? '' : '  source: { ysql: { connection: { env: URL } } }\n';
  const repository = has('repository') ? '' : '  repository: main\n';
  return `${REPOSITORY}apiVersion: holdfast/v1\nkind: BackupPlan\n${head}\nspec:\n${source}${repository}${spec}\n`;
}

export const asFile = (text: string, path = 'plans/test.yaml'): SourceFile => ({ path, text });
