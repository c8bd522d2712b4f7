select
    id as document_id,
    n_tokens::bigint as n_tokens,
    n_bytes::bigint as n_bytes
from {{ source('lake', 'internlm2__tokens') }}
