/** A block of shell commands of a page, and what the page says that it prints. */
export interface Block {
  readonly commands: string;
  /** Lines in their order; `…` stands for anything within a line. */
  readonly promised: readonly string[];
}

/**
 * Takes the commands out of a page: every block fenced as `sh`, and with it the block fenced as `text` that comes next, if one does before the next commands.
 *
 * @throws Error for a block in another language, which would look like a command and never be run, and for one that promises the output of nothing
 */
export function blocksOf(page: string): readonly Block[] {
  const blocks: Block[] = [];
  for (const [, language = '', text = ''] of page.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)) {
    const last = blocks.at(-1);
    if (language === 'sh') blocks.push({ commands: text, promised: [] });
    else if (language === 'text' && last?.promised.length === 0) {
      blocks[blocks.length - 1] = { ...last, promised: text.trimEnd().split('\n') };
    } else
      throw new Error(
        `a block fenced as "${language}" is neither commands nor what commands before it print`,
      );
  }
  return blocks;
}

/** One script for the shell, which ends at the first command that fails. It prints a line before each block, by which `outputOf` tells them apart. */
export function scriptOf(blocks: readonly Block[]): string {
  return ['set -e', ...blocks.flatMap(({ commands }, index) => [`echo '${mark(index)}'`, commands])].join(
    '\n',
  );
}

/** What a block of the script printed; undefined where the script did not come to it. */
export function outputOf(output: string, index: number): string | undefined {
  return output.split(`${mark(index)}\n`)[1]?.split(/^--- block \d+ ---$/m)[0];
}

const mark = (index: number) => `--- block ${index} ---`;

/** The first promised line that the output doesn't have behind the promised ones before it; undefined where all are kept. */
export function brokenPromise(promised: readonly string[], output: string): string | undefined {
  const lines = output.split('\n');
  let from = 0;
  for (const promise of promised) {
    const wanted = patternOf(promise);
    const at = lines.findIndex((line, index) => index >= from && wanted.test(line));
    if (at < 0) return promise;
    from = at + 1;
  }
  return undefined;
}

/** How many spaces stand between columns is no promise. */
function patternOf(promise: string): RegExp {
  const literal = promise.trim().replaceAll(/[\^$\\.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(`^\\s*${literal.replaceAll(/ +/g, '\\s+').replaceAll('…', '.*')}`);
}
