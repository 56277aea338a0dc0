"""`Provider`: who somebody is by OpenID Connect, by the authorization code flow with PKCE.

    begin    where the browser is sent, with a state, a nonce and a challenge of our own
    finish   what came back: the code is changed for an ID token, which is verified; then who it is

What the provider says of itself is discovered and kept for an hour. Nothing here knows accounts or
cookies.
"""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from studio.config import Config
from studio.errors import BadInput, Forbidden, Unauthenticated, Unavailable
from studio.person import Role

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import OAuth2Client
    from joserfc.jwk import KeySetSerialization

PENDING_SECONDS = 600.0
MAX_PENDING = 1000
KNOWN_SECONDS = 3600.0
TIMEOUT_SECONDS = 10.0
LEEWAY_SECONDS = 60
ALGORITHMS = [f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)]
"""None that a secret alone could sign: it may be in more hands."""

_AGAIN = "The sign-in took too long, or was begun elsewhere: begin again."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Who somebody is at the provider. `roles` is `None` where the studio keeps them itself."""

    issuer: str
    subject: str
    name: str
    roles: frozenset[Role] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pending:
    """A sign-in that was begun: what only we know of it."""

    nonce: str
    verifier: str
    redirect_uri: str
    next: str
    begun_at: float


class Provider:
    """The one provider of a studio's settings. Any thread may call it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._lock = threading.Lock()
        self._known: tuple[float, dict[str, Any], dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """What people know it by; empty where there is none."""
        if not self._config.oidc_issuer:
            return ""
        return self._config.oidc_name or urlsplit(self._config.oidc_issuer).hostname or ""

    def begin(self, redirect_uri: str, next: str) -> tuple[str, str]:
        """Where to send the browser, and the state it is to bring back.

        Raises:
            Unavailable: the provider does not answer.
        """
        metadata, _ = self._discover()
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        pending = _Pending(
            nonce=secrets.token_urlsafe(32),
            verifier=verifier,
            redirect_uri=redirect_uri,
            next=next,
            begun_at=time.time(),
        )
        with self._lock:
            self._forget_old()
            while len(self._pending) >= MAX_PENDING:  # the oldest, or strangers could fill it
                del self._pending[min(self._pending, key=lambda one: self._pending[one].begun_at)]
            self._pending[state] = pending
        with self._client() as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                nonce=pending.nonce,
                code_verifier=verifier,
                redirect_uri=redirect_uri,
            )
        return str(url), state

    def finish(self, state: str, code: str) -> tuple[Identity, str]:
        """Who it is, and where they wanted to go. A state is good once.

        Raises:
            Unauthenticated: it was not begun here, or what the provider sent is not good.
            Forbidden: the provider's claim gives them no role here.
            Unavailable: the provider does not answer.
        """
        with self._lock:
            self._forget_old()
            pending = self._pending.pop(state, None)
        if pending is None or not code:
            raise Unauthenticated(_AGAIN)
        claims = self._claims(self._id_token(pending, code), pending.nonce)
        return self._identity(claims), pending.next

    def _forget_old(self) -> None:
        old = time.time() - PENDING_SECONDS
        while self._pending and next(iter(self._pending.values())).begun_at < old:
            self._pending.popitem(last=False)

    def _client(self) -> OAuth2Client:
        from authlib.integrations.httpx_client import OAuth2Client

        return OAuth2Client(
            self._config.oidc_client_id,
            self._config.oidc_client_secret or None,
            scope=self._config.oidc_scope,
            code_challenge_method="S256",
            timeout=TIMEOUT_SECONDS,
        )

    def _id_token(self, pending: _Pending, code: str) -> str:
        from authlib.common.errors import AuthlibBaseError
        from httpx2 import HTTPError

        metadata, _ = self._discover()
        try:
            with self._client() as client:
                token = client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=pending.verifier,
                    redirect_uri=pending.redirect_uri,
                )
        except AuthlibBaseError as error:
            raise Unauthenticated(f"{self.name} refused the sign-in: begin again.") from error
        except (HTTPError, ValueError) as error:
            raise self._silent() from error
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise Unauthenticated(f"{self.name} did not say who you are: ask an admin.")
        return id_token

    def _claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of a token that the provider signed, for us, for this sign-in, just now."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        metadata, keys = self._discover()
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": metadata["issuer"]},
            aud={"essential": True, "value": self._config.oidc_client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for is_second_try in (False, True):
            try:
                trusted = KeySet.import_key_set(cast("KeySetSerialization", keys))
                token = jwt.decode(id_token, trusted, algorithms=ALGORITHMS)
                registry.validate(token.claims)
            except (JoseError, ValueError, KeyError, TypeError) as error:
                if is_second_try:
                    raise Unauthenticated(
                        f"What {self.name} sent cannot be trusted: begin again."
                    ) from error
                _, keys = self._discover(anew=True)  # its keys may have changed
            else:
                break
        claims = dict(token.claims)
        party = claims.get("azp", self._config.oidc_client_id)
        if party != self._config.oidc_client_id:
            raise Unauthenticated(f"What {self.name} sent is for another program: begin again.")
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity:
        name = claims.get("preferred_username") or claims.get("email") or claims["sub"]
        if claims.get("preferred_username") is None and claims.get("email_verified") is False:
            name = claims["sub"]
        return Identity(
            issuer=str(claims["iss"]),
            subject=str(claims["sub"]),
            name=str(name),
            roles=self._roles(claims),
        )

    def _roles(self, claims: dict[str, Any]) -> frozenset[Role] | None:
        if not self._config.oidc_roles:
            return None
        found = claims.get(self._config.oidc_roles_claim)
        groups = {found} if isinstance(found, str) else set(map(str, found or ()))
        pairs = (pair.rsplit("=", 1) for pair in self._config.oidc_roles)
        roles = frozenset(Role(role) for group, role in pairs if group in groups)
        if not roles:
            raise Forbidden(f"{self.name} gives you no role in this studio: ask an admin.")
        return roles

    def _discover(self, *, anew: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the provider says of itself, and its keys."""
        import httpx2

        known = self._known
        if known and not anew and time.time() - known[0] < KNOWN_SECONDS:
            return known[1], known[2]
        issuer = self._config.oidc_issuer
        try:
            with httpx2.Client(timeout=TIMEOUT_SECONDS) as client:
                address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
                metadata = client.get(address).raise_for_status().json()
                if metadata["issuer"] != issuer:
                    raise BadInput(
                        f"The provider calls itself {metadata['issuer']!r}: set "
                        "VITRINE_OIDC_ISSUER to exactly that."
                    )
                keys = client.get(metadata["jwks_uri"]).raise_for_status().json()
                _ = metadata["authorization_endpoint"], metadata["token_endpoint"]
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise self._silent() from error
        self._known = (time.time(), metadata, keys)
        return metadata, keys

    def _silent(self) -> Unavailable:
        return Unavailable(
            f"{self.name} does not answer as it should: try again in a moment, or sign in with a "
            "password."
        )
