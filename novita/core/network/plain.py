"""httpx's client without its cookies."""

import httpx


class _NoCookies(httpx.Cookies):
    """Takes none from an answer. To look for them, httpx and Python's jar need a tenth of the time of a call."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class PlainClient(httpx.AsyncClient):
    """Keeps no cookies, so that a cookie from one caller's endpoint is never sent with another's request."""

    @property
    def cookies(self) -> httpx.Cookies:  # pyright: ignore[reportIncompatibleMethodOverride] -- none can be set
        return _NoCookies()
