-- What a broker other than ours holds in place of the token: `$7$iterations$salt$hash`, PBKDF2 with SHA-512.
-- It can only be made while the token is known, so tokens from before this have none.
alter table tokens add column verifier text;
