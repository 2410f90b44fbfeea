/**
 * What goes wrong with a request, in the words of OpenAI's API.
 *
 * @module
 */

/** An answer that is an error. */
export class Problem extends Error {
  override name = "Problem";
  /** The HTTP status. */
  readonly status: number;
  /** The field that is wrong, where it is one. */
  readonly param: string | null;
  /** A word for programs. */
  readonly code: string | null;
  /** Whether the connection ends with the answer. */
  readonly closes: boolean;

  /** `message` says what was given, what was expected and what to do. */
  constructor(
    status: number,
    message: string,
    param: string | null = null,
    code: string | null = null,
    closes = false,
  ) {
    super(message);
    this.closes = closes;
    this.status = status;
    this.param = param;
    this.code = code;
  }

  /** The body of the answer. */
  get body(): { error: Record<string, unknown> } {
    const { message, param, code, status } = this;
    const type = status === 401
      ? "authentication_error"
      : status === 403
      ? "permission_error"
      : status === 429
      ? "rate_limit_error"
      : status >= 500
      ? "server_error"
      : "invalid_request_error";
    return { error: { message, type, param, code } };
  }
}
