select
    id as score_id,
    plan,
    seed::bigint as seed,
    document_id,
    split,
    cluster::integer as cluster,
    package,
    n_tokens::bigint as n_tokens,
    n_bytes::bigint as n_bytes,
    bits::double as bits,
    bits_per_byte::double as bits_per_byte
from {{ source('lake', 'clusterclip__scores') }}
