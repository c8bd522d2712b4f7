select
    key as asset,
    partition,
    outcome,
    reason,
    rows as n_rows
from {{ source('lake', 'ledgers') }}
