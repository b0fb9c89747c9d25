import { permanent } from '../model/errors.ts';
import { orInstall, type Report } from './debian.ts';
import { findOnPath } from './path.ts';

const MISSING = 'CHROMIUM_MISSING';

/** The tests bring their own fonts, so that pages look the same on a machine that has none. */
const PACKAGES = ['chromium', 'fonts-dejavu-core', 'fonts-liberation'];

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Returns the path of Chromium. Installs it first if it is missing and this user may. Throws `CHROMIUM_MISSING`. */
export function ensureChromium(report?: Report): Promise<string> {
  return orInstall(findChromium, [MISSING], PACKAGES, report);
}

async function findChromium(): Promise<string> {
  for (const name of PROGRAMS) {
    const found = await findOnPath(name);
    if (found !== undefined) return found;
  }
  throw permanent(
    MISSING,
    'no Chromium on this machine',
    'Install it: `apt-get install chromium` on Debian and Ubuntu, `brew install --cask chromium` on macOS.',
  );
}
