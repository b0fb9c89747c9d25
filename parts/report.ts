const PROGRESS_INTERVAL_MS = 10_000;

/** Receives lines about a build or a download, without line ends. */
export type Report = (line: string) => void;

export const toStandardError: Report = (line) => {
  process.stderr.write(`${line}\n`);
};

/** Reports a line of progress every ten seconds, once `show` was told what to say, until `end`. */
export function progressLines(name: string, report: Report) {
  let timer: NodeJS.Timeout | undefined;
  return {
    show(line: () => string): void {
      timer ??= setInterval(() => report(`${name}: ${line()}`), PROGRESS_INTERVAL_MS);
    },
    end(): void {
      clearInterval(timer);
    },
  };
}
