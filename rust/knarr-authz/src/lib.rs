//! RBAC and node authorization.
