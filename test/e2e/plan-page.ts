import type { Frame, Page } from 'playwright-core';
import { eventually } from '../support/processes.ts';

/** The page of a plan's entity in the Temporal UI, as a person opens it and sends signals from it. What is clicked has the names that a person reads. */
export class PlanPage {
  readonly #page: Page;
  readonly #url: string;

  /** @param ui URL of the Temporal UI */
  constructor(page: Page, ui: string, plan: string) {
    this.#page = page;
    this.#url = `${ui}/namespaces/default/workflows/${encodeURIComponent(`plan:${plan}`)}`;
  }

  async open(): Promise<void> {
    await this.#page.goto(this.#url);
    await this.#page.getByText('User Metadata', { exact: true }).click();
    await eventually('the details are shown', async () => (await this.details()) !== '');
  }

  /** The UI renders current details, which are Markdown, in a frame of its own; the second one of the page. Empty until they are there. */
  async details(): Promise<string> {
    const frames = this.#page.frames().filter((frame) => frame.url().includes('/render?content='));
    // The UI replaces a frame when there are news: one that is gone says nothing.
    const textOf = async (frame: Frame) => {
      const text = frame.locator('body').textContent({ timeout: 2_000 });
      return (await text.catch(() => null)) ?? '';
    };
    const texts = await Promise.all(frames.map(textOf));
    return texts.find((text) => text.includes('Can be restored')) ?? '';
  }

  /** Opens the page anew until its details match. */
  async shows(what: string, pattern: RegExp): Promise<void> {
    await eventually(what, async () => {
      await this.open();
      return pattern.test(await this.details());
    });
  }

  /**
   * Sends a signal by clicks.
   *
   * @param option a part of the signal's name or description, as the dialog lists it
   * @param argument JSON, typed into the dialog
   * @param beforeSubmit is called when everything is filled in
   */
  async signal(
    option: string,
    argument: string,
    beforeSubmit: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const page = this.#page;
    await page.getByRole('button', { name: 'More Actions' }).click();
    await page.getByRole('menuitem', { name: 'Send a Signal' }).click();
    const dialog = page.getByTestId('signal-confirmation-modal').filter({ visible: true });
    await dialog.getByTestId('signal-select-button').click();
    await dialog.getByRole('option').filter({ hasText: option }).click();
    await dialog.getByRole('textbox').last().click();
    await page.keyboard.insertText(argument);
    // The editor that is left sets its JSON in lines, and the buttons below it move.
    await dialog.getByText('Encoding', { exact: true }).click();
    await beforeSubmit();
    await dialog.getByRole('button', { name: 'Submit' }).click();
    // A page that is left meanwhile sends nothing.
    await dialog.waitFor({ state: 'hidden' });
  }
}
