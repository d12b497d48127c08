"""The ports that perform requests; the only importer of the AWS SDKs."""
